# MSBReg on ImageNet, K = 4, batch 512, 300 epochs (Sec. 7.1; Table 2). BYOL with half its loss (Table 7) is K = 2 with
#   model.head.exclude_self=True model.head.lambda_s=0 model.head.lambda_b=0 optim_wrapper.optimizer.lr=0.6
#   train_dataloader.dataset.dataset.pipeline.0.num_views=2
_base_ = [
    '../_base_/models/msbreg_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # as in BYOL, our choice; converts all BN layers when there is more than one process
# Table 9, for all K views. It prints no range of the crop; this is that of BYOL.
view = dict(size=224, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=1.0, solarize=0.2)
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[view], num_views=4),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    # Sec. 7.1: 0.15 x 512 / 256 x K
    optimizer=dict(type='lewel_plugins.LARS', lr=1.2, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),  # Sec. 7.1
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),  # Sec. 7.1
    dict(type='CosineAnnealingLR', T_max=290, by_epoch=True, begin=10, end=300, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=512)

# MSBReg on ImageNet-100, K = 4, batch 512, 320 epochs (Sec. 7.1; Table 1).
# Tables 8 and 11 (300 epochs, Sec. 10): model.head.lambda_s = 0, 2e-3, 4e-3, 1e-2
# and model.head.lambda_b = 0, 0.25, 0.5, 1, 2
# K = 2: train_dataloader.dataset.dataset.pipeline.0.num_views=2 optim_wrapper.optimizer.lr=1.6
# BYOL with half its loss: the same, and model.head.exclude_self=True model.head.lambda_s=0 model.head.lambda_b=0
_base_ = [
    '../_base_/models/msbreg_resnet50.py',
    '../_base_/datasets/in100.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=512, out_channels=128),
    head=dict(hid_channels=512),
)
sync_bn = 'torch'  # as in BYOL, our choice; converts all BN layers when there is more than one process
# Table 9, for all K views. It prints no range of the crop; this is that of BYOL.
view = dict(size=224, crop_scale=(0.08, 1.0), interpolation='bicubic', blur=1.0, solarize=0.2)
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[view], num_views=4),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=3.2, momentum=0.9, weight_decay=1e-5),  # Sec. 7.1: 0.4 x 512 / 256 x K
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),  # Sec. 7.1
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),  # Sec. 7.1
    dict(type='CosineAnnealingLR', T_max=310, by_epoch=True, begin=10, end=320, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=320)
auto_scale_lr = dict(base_batch_size=512)

# MSBReg Sec. 7.1: ImageNet, K = 4, batch 512, 300 epochs. lr = 0.15 * 512/256 * K. Table 7's BYOL, by halves, is K = 2 with
# model.head.exclude_self=True model.head.lambda_s=0 model.head.lambda_b=0 train_dataloader.dataset.dataset.pipeline.0.num_views=2
# optim_wrapper.optimizer.lr=0.6
_base_ = [
    '../_base_/models/msbreg_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/msbreg_224px.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[_base_.view], num_views=4),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=1.2, weight_decay=1e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=290, by_epoch=True, begin=10, end=300, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=512)
sync_bn = 'torch'  # as BYOL, the paper does not say; converts every BN when there is more than one process

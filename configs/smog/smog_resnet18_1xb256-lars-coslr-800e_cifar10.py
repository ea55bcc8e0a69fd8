# SMoG with ResNet-18 on CIFAR-10, which the paper does not use: one GPU and 800 epochs are our choice. Groups, teacher and
# resets have the ratios of the paper: group_schedule(images=50000, batch_size=256, epochs=800).
# Memory per GPU: 0.6 GB for the backward pass (2.4 MB per image), 0.2 GB weights and optimizer, 105 MB cached features.
_base_ = [
    '../_base_/models/smog_resnet50.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/views/byol_32px.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512),
    head=dict(num_groups=180, end_beta=0.9982),
    momentum=0.00019,
)
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=1600)]
data_preprocessor = dict(views=_base_.views)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=1.0, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=790, by_epoch=True, begin=10, end=800, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=256)

# LEWEL_B with ResNet-18 for one GPU, on your own folder of unlabeled images.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/image-folder.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=1024),
    head=dict(hid_channels=1024),
    momentum=0.01,
)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=1.0, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=190, by_epoch=True, begin=10, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)

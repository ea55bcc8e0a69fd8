# Our choice, the paper has no CIFAR10: ResNet-18, one GPU, 800 epochs.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/cifar10_bs256_byol.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=1024),
    head=dict(hid_channels=1024),
    momentum=0.01,
)
optim_wrapper = dict(optimizer=dict(lr=1.0, weight_decay=1e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=790, by_epoch=True, begin=10, end=800, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=256)

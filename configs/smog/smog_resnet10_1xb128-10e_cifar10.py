# SMoG on CIFAR-10, small. Groups, teacher and resets have the ratios of the paper: group_schedule(images=50000,
# batch_size=128, epochs=10).
_base_ = [
    '../_base_/models/smog_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
    head=dict(hid_channels=128, num_groups=91, end_beta=0.928),
    momentum=0.0077,
)
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=39)]

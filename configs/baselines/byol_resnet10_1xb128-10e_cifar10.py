# BYOL on CIFAR-10, small, with the widths, the teacher and the optimizer of LEWEL_B.
_base_ = [
    '../_base_/models/byol_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    base_momentum=0.02,
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64, with_bias=False),
    head=dict(predictor=dict(in_channels=64, hid_channels=128, out_channels=64, with_bias=False)),
)

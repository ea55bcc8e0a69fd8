# MPCL on Barlow Twins on CIFAR-10, small.
_base_ = [
    '../_base_/models/mpcl-barlowtwins_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=256, out_channels=256),
)

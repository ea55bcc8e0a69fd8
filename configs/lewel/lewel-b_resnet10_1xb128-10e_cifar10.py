# LEWEL_B on CIFAR-10, small, the recipe of the quickstart.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
    head=dict(hid_channels=128),
    teacher_norm='train',
)

# MoCo v2 on CIFAR-10, small, with the queue, the teacher and the optimizer of LEWEL_M.
_base_ = [
    '../_base_/models/mocov2_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    queue_len=4096,
    feat_dim=64,
    momentum=0.01,
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
)

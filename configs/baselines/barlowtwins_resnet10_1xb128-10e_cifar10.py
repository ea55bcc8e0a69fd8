# mmpretrain's own Barlow Twins on CIFAR-10, small: the head of its recipe, with the widths of MPCL.
_base_ = ['../_base_/datasets/cifar10_small.py', '../_base_/cifar10_10e.py']
model = dict(
    type='BarlowTwins',
    backbone=dict(type='lewel_plugins.ResNet10'),
    neck=dict(
        type='NonLinearNeck',
        in_channels=128,
        hid_channels=256,
        out_channels=256,
        num_layers=3,
        with_last_bn=False,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
        init_cfg=dict(type='Kaiming', distribution='uniform', layer=['Linear']),
    ),
    head=dict(type='LatentCrossCorrelationHead', in_channels=256, loss=dict(type='CrossCorrelationLoss')),
)

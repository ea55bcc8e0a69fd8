# mmpretrain's own MoCo v3 on CIFAR-10, small, ResNet-10: the heads of its ResNet-50 recipe, with the widths of MPCL.
_base_ = ['../_base_/datasets/cifar10_small.py', '../_base_/cifar10_10e.py']
model = dict(
    type='MoCoV3',
    base_momentum=0.01,
    backbone=dict(type='lewel_plugins.ResNet10'),
    neck=dict(
        type='NonLinearNeck',
        in_channels=128,
        hid_channels=128,
        out_channels=64,
        num_layers=2,
        with_bias=False,
        with_last_bn=True,
        with_last_bn_affine=False,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='MoCoV3Head',
        predictor=dict(
            type='NonLinearNeck',
            in_channels=64,
            hid_channels=128,
            out_channels=64,
            num_layers=2,
            with_bias=False,
            with_last_bn=False,
            with_last_bn_affine=False,
            with_avg_pool=False,
            norm_cfg=dict(type='BN1d'),
        ),
        loss=dict(type='CrossEntropyLoss', loss_weight=2 * 0.2),
        temperature=0.2,
    ),
)

# Barlow Twins by lightly's benchmark, whose 200-NN is 84.2 %. [1] and [2]: see the base.
_base_ = '../_base_/cifar10_lightly-200e.py'
model = dict(
    type='BarlowTwins',
    backbone=_base_.backbone,
    # [2] two layers, 512, 2048 with BN and ReLU, 2048. [1] models/modules/heads.py: a bias in the last layer only.
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=2048,
        num_layers=2,
        with_bias=False,
        with_last_bn=False,
        with_last_bias=True,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
    ),
    # [1] loss/barlow_twins_loss.py: lambda 5e-3, the loss unscaled.
    head=dict(type='LatentCrossCorrelationHead', in_channels=2048, loss=dict(type='CrossCorrelationLoss', lambd=5e-3)),
)

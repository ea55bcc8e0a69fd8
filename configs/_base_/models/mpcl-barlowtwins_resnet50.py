# MPCL on Barlow Twins: four projectors with shared hidden layers, initialized as in mmpretrain's recipe;
# lambda = 0.01, PTB with epsilon = 0.5.
model = dict(
    type='lewel_plugins.MPCLBarlowTwins',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(
        type='lewel_plugins.MultiProjectorNeck',
        in_channels=2048,
        hid_channels=8192,
        out_channels=8192,
        num_projectors=4,
        mlp=dict(num_layers=3, init='kaiming'),
    ),
    head=dict(type='lewel_plugins.MPCLBarlowTwinsHead', redundancy_weight=0.0051, balance=dict(pcr_weight=0.01)),
)
custom_hooks = [dict(type='lewel_plugins.MPCLReweightHook', epsilon=0.5)]

# MPCL on MoCo v2: four projectors (Table III) with MoCo v2's neck, of which they share the hidden layer, and its queue,
# temperature and teacher; lambda = 0.01, PTB with epsilon = 0.5.
model = dict(
    type='lewel_plugins.MPCLMoCo',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False),
    neck=dict(
        type='lewel_plugins.MultiProjectorNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        num_projectors=4,
        mlp=dict(with_bn=False),
    ),
    head=dict(type='lewel_plugins.MPCLContrastHead', temperature=0.2, balance=dict(pcr_weight=0.01)),
    queue_len=65536,
    momentum=0.001,
)
custom_hooks = [dict(type='lewel_plugins.MPCLReweightHook', epsilon=0.5)]

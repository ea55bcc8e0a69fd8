# MPCL on MoCo v3, ResNet-50: the heads, temperature and teacher of mmpretrain's recipe, four of each head;
# lambda = 0.01, PTB with epsilon = 0.5.
model = dict(
    type='lewel_plugins.MPCLMoCoV3',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False),
    neck=dict(
        type='lewel_plugins.MultiProjectorNeck',
        in_channels=2048,
        hid_channels=4096,
        out_channels=256,
        num_projectors=4,
        mlp=dict(with_last_bn=True),
    ),
    head=dict(
        type='lewel_plugins.MPCLPredictHead',
        predictor=dict(hid_channels=4096),
        temperature=1.0,
        balance=dict(pcr_weight=0.01),
    ),
    momentum=0.01,
)
custom_hooks = [dict(type='lewel_plugins.MPCLReweightHook', epsilon=0.5)]

# MPCL on MoCo v3, ViT-S/16: the backbone (frozen patch embedding, fixed sin-cos positions), heads, temperature and
# teacher of mmpretrain's recipe, four of each head; lambda = 0.01, PTB with epsilon = 0.5.
model = dict(
    type='lewel_plugins.MPCLMoCoV3',
    backbone=dict(type='MoCoV3ViT', arch='mocov3-small', img_size=224, patch_size=16, stop_grad_conv1=True),
    neck=dict(
        type='lewel_plugins.MultiProjectorNeck',
        in_channels=384,
        hid_channels=4096,
        out_channels=256,
        num_projectors=4,
        mlp=dict(num_layers=3, with_last_bn=True),
    ),
    head=dict(
        type='lewel_plugins.MPCLPredictHead',
        predictor=dict(hid_channels=4096, with_last_bn=True),
        temperature=0.2,
        balance=dict(pcr_weight=0.01),
    ),
    momentum=0.01,
)
custom_hooks = [dict(type='lewel_plugins.MPCLReweightHook', epsilon=0.5)]

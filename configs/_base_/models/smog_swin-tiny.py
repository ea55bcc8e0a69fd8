# SMoG Sec. 3.4: Transformers use GELU in the heads and 256 output channels. There is no stochastic depth, because the
# teacher, a copy of the online network, would have it, too.
model = dict(
    type='lewel_plugins.SMoG',
    backbone=dict(type='SwinTransformer', arch='tiny', img_size=224, drop_path_rate=0.0),
    neck=dict(
        type='lewel_plugins.ProjectionNeck',
        in_channels=768,
        hid_channels=2048,
        out_channels=256,
        activation='gelu',
        out_norm=True,
    ),
    head=dict(
        type='lewel_plugins.SMoGHead',
        hid_channels=2048,
        temperature=0.1,
        num_groups=3000,
        beta=1.0,
        end_beta=0.99,
    ),
    momentum=0.001,
)
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=300)]

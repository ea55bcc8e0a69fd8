# SMoG on Swin-T (Table 2), the rest as with ResNet-50 (Sec. 3.4), with BYOL's crops, 0.08 to 1 of the area.
# Memory per GPU: 16 GB for the backward pass (62 MB per image), 0.6 GB weights and optimizer, 39 MB cached features.
_base_ = [
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px_crop008.py',
    '../_base_/default_runtime.py',
]
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
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=300)]  # Sec. 3.4
sync_bn = 'torch'  # in the heads
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),  # Sec. 3.4: 5e-4 x 4096 / 2048
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),  # Sec. 3.4
    dict(type='CosineAnnealingLR', T_max=390, by_epoch=True, begin=10, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)
auto_scale_lr = dict(base_batch_size=4096)

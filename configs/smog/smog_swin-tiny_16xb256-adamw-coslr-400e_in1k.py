# SMoG on Swin-T (Table 2), the rest as with ResNet-50 (Sec. 3.4).
# Memory per GPU: 16 GB for the backward pass (62 MB per image), 0.6 GB weights and optimizer, 39 MB cached features.
_base_ = [
    '../_base_/models/smog_swin-tiny.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # in the heads
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.05),  # Sec. 3.4: 5e-4 x 4096 / 2048
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),  # Sec. 3.4
    dict(type='CosineAnnealingLR', T_max=390, by_epoch=True, begin=10, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)
auto_scale_lr = dict(base_batch_size=4096)

# MoCo v3's schedule for transformers: AdamW, lr 1.5e-4 for 256 images, 40 epochs of warm-up.
_base_ = './bf16.py'
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2.4e-3, weight_decay=0.1),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=260, by_epoch=True, begin=40, end=300, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300, val_interval=10)

# LARS with BYOL's exclusions: no weight decay and no adaptation on biases and norms. 10 epochs of warm-up.
_base_ = './bf16.py'
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=3.6, momentum=0.9, weight_decay=1.5e-6),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=190, by_epoch=True, begin=10, end=200, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=10)

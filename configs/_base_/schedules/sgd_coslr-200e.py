# SGD with a cosine schedule and no warm-up; weight decay and exclusions are the recipe's.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    dtype='bfloat16',
    # bfloat16 has float32's range: no loss scaling. On a GPU without it (before Ampere):
    #   --cfg-options optim_wrapper.dtype=float16 optim_wrapper.loss_scale=dynamic
    loss_scale=dict(enabled=False),
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200, val_interval=10)

# What all recipes for few labels share. Recipes set rates, epochs and schedule.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1.0, momentum=0.9, weight_decay=0.0),
)
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=10)

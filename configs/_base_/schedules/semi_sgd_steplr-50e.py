# LEWEL Sec. 4.2: 50 epochs, a tenth at 30 and 40; rates are the config's. The paper names neither batch nor weight decay:
# 256 images, none, as in its linear evaluation.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1.0, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[30, 40], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=10)

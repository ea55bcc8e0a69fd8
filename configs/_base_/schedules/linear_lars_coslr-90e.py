# LEWEL_M (Sec. 4.1): LARS, lr 3.2 for 4,096 images, no weight decay, cosine, 90 epochs.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='lewel_plugins.LARS', lr=3.2, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=0, end=90, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=10)

# LEWEL_B (Sec. 4.1): SGD, lr 0.4 for 256 images, no weight decay, 50 epochs, rate divided by 10 at epochs 30 and 40.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[30, 40], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=10)

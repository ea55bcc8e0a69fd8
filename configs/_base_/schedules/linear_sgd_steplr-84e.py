# MSBReg Sec. 8.4: SGD, lr 0.2 for 256 images, weight decay 1e-4, rate divided by 10 twice, at equal intervals.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[28, 56], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=84, val_interval=7)

# Barlow Twins' linear evaluation, as in mmpretrain's configs/barlowtwins/benchmarks: SGD, lr 0.3 for 256 images, weight
# decay 1e-6, 100 epochs, cosine.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.3, momentum=0.9, weight_decay=1e-6),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=100, by_epoch=True, begin=0, end=100, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=10)

# MoCo v3's linear evaluation, as in mmpretrain's configs/mocov3/benchmarks: SGD, no weight decay, 90 epochs, cosine.
# The rate is that of a ResNet for 1,024 images (0.1 · 1024 / 256); recipes for a ViT set 12 (3 · 1024 / 256).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=0, end=90, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=10)

# SMoG, 100 epochs, as in the ablations (Sec. 4.4). Memory: as the 400-epoch recipe.
_base_ = './smog_resnet50_8xb512-lars-coslr-400e_in1k.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=10, end=100, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100)

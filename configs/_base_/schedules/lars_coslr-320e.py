# 320 epochs, the length of MSBReg's Sec. 7.
_base_ = './lars_coslr-200e.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=310, by_epoch=True, begin=10, end=320, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=320)

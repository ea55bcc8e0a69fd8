# 24,000 steps, a tenth at 3/4 and 11/12 of them (LEWEL Sec. 4.3). 100 steps of warm-up are MoCo's.
_base_ = './detection_sgd.py'
train_cfg = dict(max_iters=24000, val_interval=4000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=24000, milestones=[18000, 22000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=4000))

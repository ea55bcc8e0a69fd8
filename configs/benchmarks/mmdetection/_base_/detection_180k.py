# detectron2's 2x: 180,000 steps, rate divided by 10 at 120k and 160k, with the warm-up of 1x.
_base_ = './detection_sgd.py'
train_cfg = dict(max_iters=180000, val_interval=10000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=180000, milestones=[120000, 160000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=10000))

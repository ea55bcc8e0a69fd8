# detectron2's 1x: 90,000 steps, rate divided by 10 at 60k and 80k (LEWEL Sec. 4.3). The 1,000 steps of warm-up are
# those of mmdet's configs/common/ms-90k_coco.py, which is aligned with detectron2.
_base_ = './detection_sgd.py'
train_cfg = dict(max_iters=90000, val_interval=10000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=90000, milestones=[60000, 80000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=10000))

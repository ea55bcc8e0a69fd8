# MSBReg Sec. 8.4, COCO: Mask R-CNN, R50-FPN, rate 0.05, 50 steps of warm-up; 90,000 steps of 16 images, rate divided by
# 10 at 60k and 80k, as in 1x. Norms and images, which it does not print, are those of MoCo's protocol, which it
# follows.
_base_ = './mask-rcnn_r50_fpn_moco-ms-1x_coco.py'
optim_wrapper = dict(optimizer=dict(lr=0.05))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=50),
    _base_.param_scheduler[1],
]

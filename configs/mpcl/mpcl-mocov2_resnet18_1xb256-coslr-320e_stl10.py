# Our choice, the paper has no STL-10: ResNet-18, one GPU, 320 epochs, as the MoCo v2 baseline.
_base_ = [
    '../_base_/models/mpcl-mocov2_resnet50.py',
    '../_base_/datasets/stl10_bs256_mocov2.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=512),
    queue_len=16384,
    momentum=0.01,
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=320, by_epoch=True, begin=0, end=320, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=320)
auto_scale_lr = dict(base_batch_size=256)

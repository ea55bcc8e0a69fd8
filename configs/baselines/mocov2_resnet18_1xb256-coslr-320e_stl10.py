# MoCo v2 by the recipe of LEWEL_M.
_base_ = [
    '../_base_/models/mocov2_resnet50.py',
    '../_base_/datasets/stl10.py',
    '../_base_/views/mocov2_96px.py',
    '../_base_/default_runtime.py',
]
model = dict(
    queue_len=16384,
    momentum=0.01,
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=512),
)
data_preprocessor = dict(views=_base_.views)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=320, by_epoch=True, begin=0, end=320, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=320)
auto_scale_lr = dict(base_batch_size=256)

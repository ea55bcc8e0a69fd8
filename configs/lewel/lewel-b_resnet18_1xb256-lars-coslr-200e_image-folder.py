# LEWEL_B with ResNet-18 for one GPU, on one's own folder of unlabelled images.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/image-folder.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=1024),
    head=dict(hid_channels=1024),
    momentum=0.01,
)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=1.0, weight_decay=1e-5))
auto_scale_lr = dict(base_batch_size=256)

# LEWEL_M with ResNet-18 on CIFAR-10, which the paper does not use: one GPU, 800 epochs are our choice.
# ShuffleBN needs several ranks. In one process, query and key of an image are in batches of the same images, and BN's
# statistics can give the positive away; model.teacher_norm='eman' gives keys that do not depend on their batch.
_base_ = [
    '../_base_/models/lewel-m_resnet50.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/views/mocov2_32px.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=512),
    queue_len=4096,
    momentum=0.01,
)
data_preprocessor = dict(views=_base_.views)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=800, by_epoch=True, begin=0, end=800, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=256)

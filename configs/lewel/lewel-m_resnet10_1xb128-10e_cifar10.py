# LEWEL_M on CIFAR-10, small.
# ShuffleBN needs several ranks. In one process, query and key of an image are in batches of the same images, and BN's
# statistics can give the positive away; model.teacher_norm='eman' gives keys that do not depend on their batch.
_base_ = [
    '../_base_/models/lewel-m_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
    queue_len=4096,
    momentum=0.01,
)

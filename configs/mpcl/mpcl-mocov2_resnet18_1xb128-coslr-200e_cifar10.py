# MPCL on MoCo v2. Network, views, optimizer and schedule of lightly's benchmark on CIFAR-10, so
# that it stands beside BYOL and MoCo there. No rate was searched for it.
# ShuffleBN needs several ranks. In one process, query and key of an image are in batches of the same images, and BN's
# statistics can give the positive away; model.teacher_norm='eman' gives keys that do not depend on their batch.
_base_ = ['../_base_/models/mpcl-mocov2_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=512, hid_channels=512),
    queue_len=4096,
    momentum=0.01,
)

# LEWEL_B. Network, views, optimizer and schedule of lightly's benchmark on CIFAR-10, so
# that it stands beside BYOL and MoCo there. No rate was searched for it.
_base_ = ['../_base_/models/lewel-b_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=512, hid_channels=1024),
    head=dict(hid_channels=1024),
    momentum=0.01,
    teacher_norm='train',
)

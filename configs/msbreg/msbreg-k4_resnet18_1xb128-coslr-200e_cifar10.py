# MSBReg, K = 4. Network, views, optimizer and schedule of lightly's benchmark on CIFAR-10, so
# that it stands beside BYOL and MoCo there. No rate was searched for it. An image has
# four views, so an epoch sees twice the views of a method with two.
_base_ = ['../_base_/models/msbreg_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    # 64 instead of 128 dimensions: with 128 images, the smallest of 128 singular values would be 0 in every batch.
    neck=dict(in_channels=512, hid_channels=512, out_channels=64),
    head=dict(hid_channels=512),
    momentum=0.01,
)
data_preprocessor = dict(views=_base_.views[:1] * 4)

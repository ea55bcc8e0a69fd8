# MSBReg, K = 4. Network, views, batch and schedule of lightly's benchmark on CIFAR-10, so that it stands beside BYOL and
# MoCo there. The optimizer is LARS, as in the paper, with weight decay and without warm-up and exclusions as in the small
# recipe, where the loss became infinite by SGD at 0.1. No rate was searched for this network. An image has four
# views, so an epoch sees twice the views of a method with two.
_base_ = ['../_base_/models/msbreg_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    # 64 instead of 128 dimensions: with 128 images, the smallest of 128 singular values would be 0 in every batch.
    neck=dict(in_channels=512, hid_channels=512, out_channels=64),
    head=dict(hid_channels=512),
    momentum=0.01,  # as in this package's other rows of the benchmark
)
num_views, base_lr = 4, 1.5  # K, and the rate per view and 256 images: 3.0 for 128
data_preprocessor = dict(views=_base_.views[:1] * num_views)
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='lewel_plugins.LARS', lr=base_lr * 128 / 256 * num_views, momentum=0.9, weight_decay=1e-6
    ),
)

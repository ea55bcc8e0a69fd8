# MSBReg on CIFAR-10, small, K = 4, with the widths and the teacher of BYOL and LEWEL_B there.
_base_ = [
    '../_base_/models/msbreg_resnet50.py',
    '../_base_/datasets/cifar10_small.py',
    '../_base_/cifar10_10e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
    head=dict(hid_channels=128),
    momentum=0.02,
)
data_preprocessor = dict(views=_base_.views[:1] * 4)
# The optimizer of the paper. SGD, with which most other small recipes train, can end at infinity within 40 steps at 0.1,
# perhaps because L_s is of fourth order in the embeddings, and at 0.03 it learns much less (docs/results/README.md). Unlike in MSBReg's
# larger recipes, norms and biases are adapted, too, there is no warm-up, and the weight decay is a tenth.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
)

# MPCL on MoCo v2 with ResNet-18 on CIFAR-10 for 100 epochs.
# ShuffleBN needs several ranks. In one process, query and key of an image are in batches of the same images, and BN's
# statistics can give the positive away; model.teacher_norm='eman' gives keys that do not depend on their batch.
_base_ = './mpcl-mocov2_resnet18_1xb256-coslr-800e_cifar10.py'
param_scheduler = [dict(_base_.param_scheduler[0], T_max=100, end=100)]
train_cfg = dict(max_epochs=100)

# MPCL on MoCo v2 with ResNet-18 on CIFAR-10 for 200 epochs.
_base_ = './mpcl-mocov2_resnet18_1xb256-coslr-800e_cifar10.py'
param_scheduler = [dict(_base_.param_scheduler[0], T_max=200, end=200)]
train_cfg = dict(max_epochs=200)

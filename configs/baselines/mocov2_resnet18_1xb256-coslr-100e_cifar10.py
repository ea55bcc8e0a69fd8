# MoCo v2 with ResNet-18 on CIFAR-10 for 100 epochs.
_base_ = './mocov2_resnet18_1xb256-coslr-800e_cifar10.py'
param_scheduler = [dict(_base_.param_scheduler[0], T_max=100, end=100)]
train_cfg = dict(max_epochs=100)

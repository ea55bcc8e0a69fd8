# MPCL on Barlow Twins with ResNet-18 on CIFAR-10 for 100 epochs.
_base_ = './mpcl-barlowtwins_resnet18_1xb256-lars-coslr-800e_cifar10.py'
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=90, end=100)]
train_cfg = dict(max_epochs=100)

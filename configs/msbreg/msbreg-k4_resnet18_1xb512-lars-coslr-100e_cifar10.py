# MSBReg with ResNet-18 on CIFAR-10 for 100 epochs.
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_cifar10.py'
model = dict(momentum=0.01)  # as BYOL for 100 epochs
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], T_max=90, end=100)]
train_cfg = dict(max_epochs=100)

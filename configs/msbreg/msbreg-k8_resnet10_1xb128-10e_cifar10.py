# MSBReg on CIFAR-10, small, K = 8.
_base_ = './msbreg-k4_resnet10_1xb128-10e_cifar10.py'
data_preprocessor = dict(views=_base_.views[:1] * 8)

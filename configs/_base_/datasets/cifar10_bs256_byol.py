# CIFAR-10, BYOL's views.
_base_ = ['./cifar10.py', '../views/byol_32px.py']

data_preprocessor = dict(views=_base_.views)

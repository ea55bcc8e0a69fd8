# CIFAR-100, BYOL's views.
_base_ = ['./cifar100.py', '../views/byol_32px.py']

data_preprocessor = dict(views=_base_.views)

# CIFAR-100, MoCo v2's views.
_base_ = ['./cifar100.py', '../views/mocov2_32px.py']

data_preprocessor = dict(views=_base_.views)

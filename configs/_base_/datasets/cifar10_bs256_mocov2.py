# CIFAR-10, MoCo v2's views.
_base_ = ['./cifar10.py', '../views/mocov2_32px.py']

data_preprocessor = dict(views=_base_.views)

# SMoG with multi-crop on CIFAR-10, small: two views of 32 px and four of 16 px with less area.
_base_ = './smog_resnet10_1xb128-10e_cifar10.py'
model = dict(num_views=6)
data_preprocessor = dict(views=_base_.views + [dict(_base_.views[0], size=16, crop_scale=(0.05, 0.2))] * 4)

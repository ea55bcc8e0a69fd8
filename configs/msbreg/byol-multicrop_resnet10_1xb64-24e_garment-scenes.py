# BYOL with multi-crop on garment scenes: the two views of all methods there, and six of half the size and less area.
_base_ = './msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
model = dict(
    _delete_=True,
    type='lewel_plugins.BYOLMultiCrop',
    backbone=dict(type='lewel_plugins.ResNet10'),
    neck=dict(type='lewel_plugins.ProjectionNeck', in_channels=128, hid_channels=128, out_channels=64),
    hid_channels=128,
    momentum=0.02,
)
small = dict(_base_.views[0], size=16, crop_scale=(0.2, 0.5))
data_preprocessor = dict(views=_base_.views + [small] * 6)

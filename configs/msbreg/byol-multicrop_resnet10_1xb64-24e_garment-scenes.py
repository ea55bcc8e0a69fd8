# BYOL with multi-crop on garment scenes: the two views that all methods use, and six of half the size and less area.
_base_ = [
    '../_base_/datasets/garment-scenes_32px.py',
    '../_base_/garment-scenes_24e.py',
]
model = dict(
    type='lewel_plugins.BYOLMultiCrop',
    backbone=dict(type='lewel_plugins.ResNet10'),
    neck=dict(type='lewel_plugins.ProjectionNeck', in_channels=128, hid_channels=128, out_channels=64),
    head=dict(type='lewel_plugins.BYOLMultiCropHead', hid_channels=128),
    momentum=0.02,
)
small = dict(_base_.views[0], size=16, crop_scale=(0.2, 0.5))
data_preprocessor = dict(views=_base_.views + [small] * 6)

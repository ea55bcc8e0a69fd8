# MPCL on Barlow Twins on garment scenes.
_base_ = [
    '../_base_/models/mpcl-barlowtwins_resnet50.py',
    '../_base_/datasets/garment-scenes_32px.py',
    '../_base_/garment-scenes_24e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=256, out_channels=256),
)

# LEWEL_B on garment scenes, the recipe of the quickstart.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/garment-scenes_32px.py',
    '../_base_/garment-scenes_24e.py',
]
model = dict(
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10'),
    neck=dict(in_channels=128, hid_channels=128, out_channels=64),
    head=dict(hid_channels=128),
    teacher_norm='train',
)

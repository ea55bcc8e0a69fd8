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
# As in MSBReg's recipe there. The loss is a sum over 56 pairs instead of BYOL's 2, so BYOL's rate under SGD is too high.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
)

# BYOL with multi-crop (Sec. 4.4, Table 7): 2 views of 224 px, V = 6 of 96 px, crops as in SwAV. The loss is a sum over all
# 56 pairs, as printed; with model.head.targets=large over the 14 whose target is a large view. The paper prints no rate:
# this is that of BYOL, K = 2. LARS makes up for the scale of the loss, except in BN and biases (see BYOLMultiCropHead).
_base_ = './byol-k2_resnet50_8xb64-lars-coslr-300e_in1k.py'
model = dict(
    _delete_=True,
    type='lewel_plugins.BYOLMultiCrop',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(type='lewel_plugins.ProjectionNeck', in_channels=2048, hid_channels=2048, out_channels=256),
    head=dict(type='lewel_plugins.BYOLMultiCropHead', hid_channels=2048),
    momentum=0.004,
)
train_pipeline = [
    dict(
        type='lewel_plugins.LoadViews',
        views=[
            dict(_base_.view, size=size, crop_scale=area) for size, area in ((224, (0.14, 1.0)), (96, (0.05, 0.14)))
        ],
        num_views=[2, 6],
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))

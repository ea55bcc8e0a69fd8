# BYOL with multi-crop (Sec. 4.4, Table 7): 2 views of 224 px, V = 6 of 96 px, crops as in SwAV.
_base_ = './msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py'
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
optim_wrapper = dict(optimizer=dict(lr=0.6))  # the rate for K = 2, our choice

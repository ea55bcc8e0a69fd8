# Faster R-CNN C4 on garment scenes, through VOCDataset: the VOC protocol in the small, with batch norm after the last
# stage of the RoI head. (The log shows VOC's classes in the table of APs: VOCMetric derives the names from the year.)
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../_base_/garment-scenes_64px.py',
    '../_base_/detection_6e.py',
]
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10', strides=(1, 2, 2)),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            scales=[2.5, 3.5, 4.75],
            ratios=[0.5, 1.0, 2.0],
            strides=[8],
        ),
    ),
    roi_head=dict(
        shared_head=dict(
            _delete_=True,
            type='lewel_plugins.ResNetStageHead',
            backbone=dict(type='lewel_plugins.ResNet10'),
            norm_cfg=dict(type='BN'),
        ),
        # As many positions as a garment has in the last map during pretraining.
        bbox_roi_extractor=dict(roi_layer=dict(output_size=4), out_channels=64, featmap_strides=[8]),
        bbox_head=dict(in_channels=128, roi_feat_size=4, num_classes=10),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=50),
        rpn=dict(sampler=dict(num=32)),
        rcnn=dict(sampler=dict(num=24)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)),
)

dataset_type = 'VOCDataset'
metainfo = dict(classes=_base_.classes)
data_prefix = dict(sub_data_root='VOC2007/')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=_base_.data_root,
        ann_file='VOC2007/ImageSets/Main/train.txt',
        data_prefix=data_prefix,
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=_base_.data_root,
        ann_file='VOC2007/ImageSets/Main/val.txt',
        data_prefix=data_prefix,
        test_mode=True,
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='VOCMetric', metric='mAP', iou_thrs=[0.5 + 0.05 * i for i in range(10)], eval_mode='11points'
)
test_evaluator = val_evaluator

# Mask R-CNN with an FPN on garment scenes, through CocoDataset: the COCO protocol in the small.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/garment-scenes_64px.py',
    '../_base_/detection_6e.py',
]
model = dict(
    # Maps of strides 4, 8 and 8, as in pretraining.
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10', out_indices=(1, 2, 3)),
    neck=dict(in_channels=[32, 64, 128], out_channels=64, num_outs=3, norm_cfg=dict(type='BN')),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            scales=[1.0],
            base_sizes=[20, 28, 38],
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 8],
        ),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8, 8], finest_scale=14),
        bbox_head=dict(in_channels=64, fc_out_channels=128, num_classes=10),
        mask_roi_extractor=dict(roi_layer=dict(output_size=7), out_channels=64, featmap_strides=[4, 8, 8], finest_scale=14),
        mask_head=dict(num_convs=1, in_channels=64, conv_out_channels=64, num_classes=10),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=50),
        rpn=dict(sampler=dict(num=32)),
        rcnn=dict(sampler=dict(num=24), mask_size=14),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=50), rcnn=dict(max_per_img=20)),
)

dataset_type = 'CocoDataset'
metainfo = dict(classes=_base_.classes)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64)),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=_base_.data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='VOC2007/JPEGImages/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=_base_.data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='VOC2007/JPEGImages/'),
        test_mode=True,
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric', ann_file=_base_.data_root + 'annotations/instances_val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator

# Faster R-CNN, R50-C4, VOC trainval 07+12, 24,000 steps of 16 images; AP, AP50 and AP75 on test 07 by VOC07's eleven
# points. MoCo's protocol (He et al., CVPR 2020, A.2), which LEWEL Sec. 4.3 and MSBReg Sec. 8.4 follow: rate 0.02,
# divided by 10 at 18k and 22k; images as in mmdet's configs/pascal_voc/faster-rcnn_r50-caffe-c4_ms-18k_voc0712.py.
# LEWEL searched the rate of each method and prints none. It also prints "test12" of about 5k images, which is the size
# of test 07 (4,952 images), the one that MoCo uses.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    '../_base_/r50-c4_moco.py',
    'mmdet::_base_/datasets/voc0712.py',
    '../_base_/detection_sgd.py',
]
model = dict(_base_.r50_c4, roi_head=dict(_base_.r50_c4.roi_head, bbox_head=dict(num_classes=20)))

data_root = 'data/VOCdevkit/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    # detectron2, in which MoCo and LEWEL measure, trains on the difficult boxes. Without this step, mmdet ignores them.
    dict(type='lewel_plugins.TrainOnDifficultBoxes'),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(480, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=[
            dict(
                type='VOCDataset',
                data_root=data_root,
                ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{year}/'),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline=train_pipeline,
            )
            for year in (2007, 2012)
        ],
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(iou_thrs=[0.5 + 0.05 * i for i in range(10)])
test_evaluator = val_evaluator

# LEWEL Sec. 4.3: rate divided by 10 after 3/4 and 11/12 of the steps. The 100 steps of warm-up are those of MoCo.
train_cfg = dict(max_iters=24000, val_interval=4000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=24000, milestones=[18000, 22000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=4000))

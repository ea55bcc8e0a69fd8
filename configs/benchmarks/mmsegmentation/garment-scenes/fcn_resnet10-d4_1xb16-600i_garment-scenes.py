# FCN on garment scenes of 64 pixels, the VOC protocol in the small, with the backbone dilated to half the stride of
# pretraining. Data: configs/benchmarks/mmdetection/_base_/garment-scenes_64px.py.
_base_ = ['../_base_/fcn_r50-d8.py', '../_base_/segmentation_runtime.py']
norm_cfg = dict(type='BN')
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type='lewel_plugins.ResNet10', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 2)),
    decode_head=dict(in_channels=128, in_index=0, channels=64, num_classes=11, norm_cfg=norm_cfg),
    auxiliary_head=None,
)
dataset_type = 'BaseSegDataset'  # PascalVOCDataset accepts VOC's classes only
metainfo = dict(
    classes=(
        'background', 't-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag',
        'ankle-boot',
    ),
    palette=[
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128],
        [128, 128, 128], [64, 0, 0], [192, 0, 0], [64, 128, 0],
    ],
)
data_root = 'data/garment_scenes_transfer/VOC2007'
data_prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        metainfo=metainfo,
        data_root=data_root,
        data_prefix=data_prefix,
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

max_iters = 600
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=max_iters, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=200, max_keep_ckpts=1))
randomness = dict(seed=0)

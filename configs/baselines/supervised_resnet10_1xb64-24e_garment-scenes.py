# Supervised training on garment scenes: labels instead of a second view, with the same backbone, crops, colours and
# optimizer as the pretrainings, for the comparison of transfers.
_base_ = ['../_base_/default_runtime.py', '../_base_/schedules/garment-scenes_24e.py']
data_root = 'data/garment_scenes'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='lewel_plugins.ResNet10'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=128, loss=dict(type='CrossEntropyLoss'), topk=(1,)),
)
data_preprocessor = dict(
    num_classes=10, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
train_pipeline = [
    dict(type='lewel_plugins.LoadRGB', cache=True),
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.6, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5, backend='cv2'),
    dict(type='RandomGrayscale', prob=0.3, keep_channels=True),
    dict(type='PackInputs'),
]
eval_pipeline = [dict(type='lewel_plugins.LoadRGB', cache=True), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='train', pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='val', pipeline=eval_pipeline),
)
val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1,))
test_dataloader = val_dataloader
test_cfg = val_cfg
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=64)
# There is no teacher, and there are no embeddings to watch.
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=1), momentum_update=None, monitor=None)

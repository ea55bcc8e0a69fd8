# ImageNet-1k with labels: random crops and flips for training, center crops for evaluation.
# data_root contains train/ and val/, with one folder per class (or meta/*.txt).
data_root = 'data/imagenet'
data_preprocessor = dict(type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)

train_pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.08, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
eval_pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='cv2'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        dataset=dict(type='ImageNet', data_root=data_root, split='train', pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ImageNet', data_root=data_root, split='val', pipeline=eval_pipeline),
)
val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_cfg = val_cfg
test_evaluator = val_evaluator

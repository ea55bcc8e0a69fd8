# STL-10 with labels: 5,000 training and 8,000 test images. data_root is the folder of the binary files.
data_root = 'data/stl10_binary'
data_preprocessor = dict(type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)

train_pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='RandomResizedCrop', scale=96, crop_ratio_range=(0.2, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
eval_pipeline = [dict(type='lewel_plugins.LoadRGB'), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        dataset=dict(type='lewel_plugins.STL10', data_root=data_root, split='train', pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.STL10', data_root=data_root, split='test', pipeline=eval_pipeline),
)
val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_cfg = val_cfg
test_evaluator = val_evaluator

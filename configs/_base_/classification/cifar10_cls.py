# CIFAR-10 with labels. data_root has image files, train/<class>/ and test/<class>/, or the files of mmpretrain, which
# downloads them if there are none.
data_root = 'data/cifar10'
data_preprocessor = dict(type='ClsDataPreprocessor', mean=[125.307, 122.950, 113.865], std=[62.993, 62.089, 66.705], to_rgb=True)

train_pipeline = [
    dict(type='lewel_plugins.LoadRGB', cache=True),
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.0), backend='cv2'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
eval_pipeline = [dict(type='lewel_plugins.LoadRGB', cache=True), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        dataset=dict(type='lewel_plugins.CIFAR10', data_root=data_root, split='train', pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.CIFAR10', data_root=data_root, split='test', pipeline=eval_pipeline),
)
val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_cfg = val_cfg
test_evaluator = val_evaluator

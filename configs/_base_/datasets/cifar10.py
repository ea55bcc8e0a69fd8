# CIFAR-10. data_root has image files, train/<class>/ and test/<class>/, or the files of mmpretrain, which
# downloads them if there are none.
data_root = 'data/cifar10'
data_preprocessor = dict(
    type='lewel_plugins.BatchViews', mean=[125.307, 122.950, 113.865], std=[62.993, 62.089, 66.705], to_rgb=True
)

train_pipeline = eval_pipeline = [dict(type='lewel_plugins.LoadRGB', cache=True), dict(type='PackInputs')]

train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        labels=False,
        dataset=dict(type='lewel_plugins.CIFAR10', data_root=data_root, split='train', pipeline=train_pipeline),
    ),
)
# k-NN: the labeled images of the bank classify the images of val_dataloader.
bank_dataloader = dict(
    batch_size=512,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.CIFAR10', data_root=data_root, split='train', pipeline=eval_pipeline),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=2,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.CIFAR10', data_root=data_root, split='test', pipeline=eval_pipeline),
)
val_cfg = dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=bank_dataloader)
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(5, 20, 200), temperature=0.07),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_dataloader = val_dataloader
test_cfg = dict(type='lewel_plugins.FeatureTestLoop', bank_dataloader=bank_dataloader)
test_evaluator = val_evaluator

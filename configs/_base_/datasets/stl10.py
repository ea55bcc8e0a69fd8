# STL-10. Pretraining uses the 100,000 unlabeled images; k-NN classifies the 8,000 test images by the 5,000 training
# images. data_root is the folder of the binary files.
data_root = 'data/stl10_binary'
data_preprocessor = dict(
    type='lewel_plugins.BatchViews', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)

train_pipeline = eval_pipeline = [dict(type='lewel_plugins.LoadRGB'), dict(type='PackInputs')]

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        labels=False,
        dataset=dict(type='lewel_plugins.STL10', data_root=data_root, split='unlabeled', pipeline=train_pipeline),
    ),
)
# k-NN: the labeled images of the bank classify the images of val_dataloader.
bank_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.STL10', data_root=data_root, split='train', pipeline=eval_pipeline),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.STL10', data_root=data_root, split='test', pipeline=eval_pipeline),
)
val_cfg = dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=bank_dataloader)
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(5, 20, 200), temperature=0.07),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_dataloader = val_dataloader
test_cfg = dict(type='lewel_plugins.FeatureTestLoop', bank_dataloader=bank_dataloader)
test_evaluator = val_evaluator

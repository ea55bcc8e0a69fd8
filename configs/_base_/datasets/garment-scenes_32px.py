# Garment scenes (tools/data/make_garment_scenes.py). All methods share one scheme for both views, which was chosen with
# SimCLR's loss (docs/results/measurements.md). Garments and photographs are tinted at random, which makes color the shortcut,
# so the hue is always turned, over the whole circle. A garment fills the frame, so smaller crops show no shape to
# recognize. To use another scheme, set data_preprocessor.views.
views = [
    dict(size=32, crop_scale=(0.6, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5, gray=0.3)
] * 2

data_root = 'data/garment_scenes'
data_preprocessor = dict(
    type='lewel_plugins.BatchViews',
    views=views,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = eval_pipeline = [dict(type='lewel_plugins.LoadRGB', cache=True), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        labels=False,
        dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='train', pipeline=train_pipeline),
    ),
)
# k-NN: the labeled images of the bank classify the images of val_dataloader.
bank_dataloader = dict(
    batch_size=500,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='train', pipeline=eval_pipeline),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='val', pipeline=eval_pipeline),
)
val_cfg = dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=bank_dataloader)
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(20, 200), temperature=0.07),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_dataloader = val_dataloader
test_cfg = dict(type='lewel_plugins.FeatureTestLoop', bank_dataloader=bank_dataloader)
test_evaluator = val_evaluator

# Garment scenes (tools/data/make_garment_scenes.py), views against colour. Set another scheme by
# `data_preprocessor.views`.
# One scheme for both views and all methods, found with SimCLR's loss (docs/results/README.md). Garments and photographs
# are tinted at random, so that colour is the shortcut: the hue is turned over the whole circle, always. A garment
# fills the frame, and smaller crops hold no shape to recognise.
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
        dataset=dict(type='CustomDataset', data_root=data_root, data_prefix='train', pipeline=train_pipeline),
    ),
)
# k-NN: the images of the bank, with their labels, classify those of val_dataloader.
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

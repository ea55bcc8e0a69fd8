# The 10,000 images of Fashion-MNIST in this repository, BYOL's views: 8,000 to pretrain on, 2,000 to measure with.
# Colour jitter and solarisation of grey images change their brightness and contrast only.
_base_ = ['../views/byol_32px.py']

data_root = 'data/fashion_mnist'
data_preprocessor = dict(
    type='lewel_plugins.BatchViews',
    views=_base_.views,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = eval_pipeline = [dict(type='lewel_plugins.LoadRGB'), dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        dataset=dict(type='lewel_plugins.FashionMNIST10k', data_root=data_root, split='train', pipeline=train_pipeline),
    ),
)
# k-NN: the images of the bank, with their labels, classify those of val_dataloader.
bank_dataloader = dict(
    batch_size=500,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.FashionMNIST10k', data_root=data_root, split='train', pipeline=eval_pipeline),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=1,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='lewel_plugins.FashionMNIST10k', data_root=data_root, split='val', pipeline=eval_pipeline),
)
val_cfg = dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=bank_dataloader)
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(20, 200), temperature=0.07),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_dataloader = val_dataloader
test_cfg = dict(type='lewel_plugins.FeatureTestLoop', bank_dataloader=bank_dataloader)
test_evaluator = val_evaluator

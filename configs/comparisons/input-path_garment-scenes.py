# One augmentation by three input paths: mmpretrain's transforms on single images, ours on single images, and ours on
# batches of tensors, which the recipes on garment scenes use. 3 rows × 3 seeds.
_base_ = './_base_/garment-scenes_12e.py'
name = 'input-path_garment-scenes'
title = 'Input paths on garment scenes'
question = 'Does a network learn the same from views of the fast paths?'

base = '../lewel/lewel-m_resnet10_1xb64-24e_garment-scenes.py'
load = dict(type='lewel_plugins.LoadRGB', cache=True)
pack = dict(type='PackInputs')
jitter = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5)
view = dict(size=32, crop_scale=(0.6, 1.0), jitter=1.0, gray=0.3, **jitter)  # as garment-scenes_32px.py
mmpretrains_view = [
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.6, 1.0), interpolation='bilinear', backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='ColorJitter', **jitter),
    dict(type='RandomGrayscale', prob=0.3, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
]
pipeline = 'train_dataloader.dataset.dataset.pipeline'
rows = [
    dict(
        name="mmpretrain's transforms",
        bound_to_base=True,
        options={
            pipeline: [load, dict(type='MultiView', num_views=[2], transforms=[mmpretrains_view]), pack],
            'data_preprocessor.views': [],
        },
    ),
    dict(
        name='LoadViews',
        bound_to_base=True,
        options={
            pipeline: [dict(type='lewel_plugins.LoadViews', views=[view], num_views=2), pack],
            'data_preprocessor.views': [],
        },
    ),
    dict(name='BatchViews'),
]
baseline = "mmpretrain's transforms"
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
del load, pack, jitter, view, mmpretrains_view, pipeline

# SMoG on Swin-T with multi-crop (Table 2).
# Memory per GPU: 15 GB for the backward pass (120 MB per image), 0.6 GB weights and optimizer, 20 MB cached features.
_base_ = ['./smog_swin-tiny_16xb256-adamw-coslr-400e_in1k.py', '../_base_/views/multicrop_224px_96px.py']
model = dict(num_views=6, backbone=dict(pad_small_map=True))  # 96 px end in maps of 3 x 3, smaller than a window
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=_base_.crop_views, num_views=_base_.num_crops),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=128, dataset=dict(dataset=dict(pipeline=train_pipeline)))

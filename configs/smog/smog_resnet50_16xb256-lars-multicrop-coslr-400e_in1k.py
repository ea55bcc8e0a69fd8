# SMoG with multi-crop (Table 1): two views of 224 px and four of 96 px.
# Memory per GPU: 20 GB for the backward pass (76 MB per image), 0.5 GB weights and optimizer, 20 MB cached features.
_base_ = ['./smog_resnet50_8xb512-lars-coslr-400e_in1k.py', '../_base_/views/multicrop_224px_96px.py']
model = dict(num_views=6)
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=_base_.crop_views, num_views=_base_.num_crops),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=train_pipeline)))

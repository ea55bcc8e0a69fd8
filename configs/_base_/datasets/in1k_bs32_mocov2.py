# ImageNet-1k, MoCo v2's views.
_base_ = ['./in1k.py', '../views/mocov2_224px.py']

train_pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='MultiView', num_views=[1, 1], transforms=_base_.view_pipelines),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=32, dataset=dict(dataset=dict(pipeline=train_pipeline)))

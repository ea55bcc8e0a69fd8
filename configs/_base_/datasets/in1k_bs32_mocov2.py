# ImageNet-1k, MoCo v2's views.
_base_ = ['./in1k.py', '../views/mocov2_224px.py']

train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=32, dataset=dict(dataset=dict(pipeline=train_pipeline)))

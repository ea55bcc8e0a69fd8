# ImageNet-1k, BYOL's views, crops from 0.2 as in LEWEL's released recipe.
_base_ = ['./in1k.py', '../views/byol_224px.py']

train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=128, dataset=dict(dataset=dict(pipeline=train_pipeline)))

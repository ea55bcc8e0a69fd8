# ImageNet-100, BYOL's views as published, crops from 0.08.
_base_ = ['./in100.py', '../views/byol_224px_crop008.py']

train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))

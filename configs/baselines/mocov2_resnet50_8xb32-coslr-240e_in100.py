# MoCo v2 by the recipe of LEWEL_M in the ablations on ImageNet-100.
_base_ = [
    '../_base_/models/mocov2_resnet50.py',
    '../_base_/datasets/in100.py',
    '../_base_/views/mocov2_224px.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=32, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.12, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=240, by_epoch=True, begin=0, end=240, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=256)

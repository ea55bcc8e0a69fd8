# MoCo v2 by the recipe of LEWEL_M, with lr 0.06 as in the paper's reproduction.
_base_ = [
    '../_base_/models/mocov2_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/mocov2_224px.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=32, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)

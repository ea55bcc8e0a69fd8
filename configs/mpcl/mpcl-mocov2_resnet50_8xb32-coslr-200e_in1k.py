# MPCL on MoCo v2 by MoCo's own recipe, batch 256 (Sec. IV-A), 200 epochs (Table IV).
_base_ = [
    '../_base_/models/mpcl-mocov2_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/mocov2_224px.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=32, dataset=dict(dataset=dict(pipeline=train_pipeline)))
# the rate of MoCo for 256 images (He et al. 2020)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=256)

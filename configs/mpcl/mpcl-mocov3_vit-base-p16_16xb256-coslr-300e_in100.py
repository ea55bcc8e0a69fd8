# MPCL on MoCo v3, ViT-B on ImageNet-100, batch 4096, 300 epochs (Table VII).
_base_ = [
    '../_base_/models/mpcl-mocov3_vit-small-p16.py',
    '../_base_/datasets/in100.py',
    '../_base_/views/byol_224px_crop008.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(arch='base'), neck=dict(in_channels=768))
sync_bn = 'torch'  # converts all BN layers when there is more than one process
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=train_pipeline)))
# the rate of MoCo v3 for 4,096 images; the paper prints none
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2.4e-3, weight_decay=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=260, by_epoch=True, begin=40, end=300, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=4096)

# MPCL on MoCo v3 by mmpretrain's recipe for ResNet-50: batch 4096, SyncBN. The paper uses ViT-B only.
_base_ = [
    '../_base_/models/mpcl-mocov3_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # converts all BN layers when there is more than one process
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=512, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=4.8, momentum=0.9, weight_decay=1e-6),  # mmpretrain's MoCo v3
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=290, by_epoch=True, begin=10, end=300, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=4096)

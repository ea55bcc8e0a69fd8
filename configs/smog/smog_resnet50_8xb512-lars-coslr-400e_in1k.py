# SMoG Sec. 3.4: LARS, batch 4096, lr 0.3 x batch / 256, wd 1e-6, 10 warm-up epochs (Table 1 has batch 2048 at 400).
# Memory a GPU: 22 GB kept for the backward pass (44 MB an image), 0.5 GB weights and optimizer, 39 MB cached features.
_base_ = [
    '../_base_/models/smog_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # as BYOL; converts every BN when there is more than one process
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=512, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=4.8, momentum=0.9, weight_decay=1e-6),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=390, by_epoch=True, begin=10, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)
auto_scale_lr = dict(base_batch_size=4096)

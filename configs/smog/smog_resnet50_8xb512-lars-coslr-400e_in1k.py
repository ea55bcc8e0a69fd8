# SMoG, 400 epochs with the batch of Sec. 3.4, which Table 1 has for 800 epochs and with multi-crop. Two views have BYOL's
# crops, 0.08 to 1 of the area: Sec. 3.4 gives 0.2 to 1 for multi-crop.
# Memory per GPU: 22 GB for the backward pass (44 MB per image), 0.5 GB weights and optimizer, 39 MB cached features.
_base_ = [
    '../_base_/models/smog_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px_crop008.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # as in BYOL; converts all BN layers when there is more than one process
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=512, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=4.8, momentum=0.9, weight_decay=1e-6),  # Sec. 3.4: 0.3 x 4096 / 256
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),  # Sec. 3.4
    dict(type='CosineAnnealingLR', T_max=390, by_epoch=True, begin=10, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)
auto_scale_lr = dict(base_batch_size=4096)

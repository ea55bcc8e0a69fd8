# LEWEL_B in the paper's ablations (Sec. 3.3): ImageNet-100, learning rate doubled, 240 epochs.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/in100.py',
    '../_base_/views/byol_224px.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=3.6, momentum=0.9, weight_decay=1e-6),  # Sec. 3.3: 2 x 1.8
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=230, by_epoch=True, begin=10, end=240, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=512)

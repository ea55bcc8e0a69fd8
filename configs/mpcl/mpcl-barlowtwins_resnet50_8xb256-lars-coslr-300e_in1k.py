# MPCL on Barlow Twins by mmpretrain's recipe for Barlow Twins: batch 2048, 300 epochs, SyncBN.
_base_ = [
    '../_base_/models/mpcl-barlowtwins_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px_crop008.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # converts all BN layers when there is more than one process
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=256, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=1.6, momentum=0.9, weight_decay=1e-6),  # mmpretrain's Barlow Twins
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        adapt_norm_and_bias=False,
        # Biases and norms at 0.024 of the rate.
        custom_keys={'bn': dict(lr_mult=0.024), 'bias': dict(lr_mult=0.024), 'downsample.1': dict(lr_mult=0.024)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=290,
        eta_min_ratio=1e-3,
        by_epoch=True,
        begin=10,
        end=300,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=2048)

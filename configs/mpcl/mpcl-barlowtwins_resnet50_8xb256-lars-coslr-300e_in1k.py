# mmpretrain's Barlow Twins recipe (batch 2048, 300 epochs; biases and norms at 0.024 of the rate), SyncBN.
_base_ = [
    '../_base_/models/mpcl-barlowtwins_resnet50.py',
    '../_base_/datasets/in1k_bs64_byol.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # converts every BN when there is more than one process
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    optimizer=dict(lr=1.6, weight_decay=1e-6),
    paramwise_cfg=dict(
        custom_keys={'bn': dict(lr_mult=0.024), 'bias': dict(lr_mult=0.024), 'downsample.1': dict(lr_mult=0.024)}
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

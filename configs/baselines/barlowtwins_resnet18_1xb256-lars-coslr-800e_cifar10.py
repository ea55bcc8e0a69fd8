# mmpretrain's own Barlow Twins by the recipe of MPCL on Barlow Twins.
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/views/byol_32px.py',
    '../_base_/default_runtime.py',
]
model = dict(
    type='BarlowTwins',
    backbone=dict(type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,
        hid_channels=1024,
        out_channels=1024,
        num_layers=3,
        with_last_bn=False,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
        init_cfg=dict(type='Kaiming', distribution='uniform', layer=['Linear']),
    ),
    head=dict(type='LatentCrossCorrelationHead', in_channels=1024, loss=dict(type='CrossCorrelationLoss')),
)
data_preprocessor = dict(views=_base_.views)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(
    # mmpretrain's 1.6 for 2,048 images, in proportion.
    optimizer=dict(type='lewel_plugins.LARS', lr=0.2, momentum=0.9, weight_decay=1e-6),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        adapt_norm_and_bias=False,
        custom_keys={'bn': dict(lr_mult=0.024), 'bias': dict(lr_mult=0.024), 'downsample.1': dict(lr_mult=0.024)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=790,
        eta_min_ratio=1e-3,
        by_epoch=True,
        begin=10,
        end=800,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=800)
auto_scale_lr = dict(base_batch_size=256)

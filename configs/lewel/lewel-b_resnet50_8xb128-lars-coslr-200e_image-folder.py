# LEWEL_B on your own folder of unlabeled images:
#   python tools/train.py THIS --cfg-options train_dataloader.dataset.dataset.data_root=/my/images
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/image-folder.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=3.6, momentum=0.9, weight_decay=1.5e-6),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=190, by_epoch=True, begin=10, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=1024)

# Supervised training on garment scenes: optimizer, budget and view as for the methods there, with all labels.
_base_ = [
    '../../_base_/datasets/garment-scenes_32px.py',
    '../../_base_/classification_runtime.py',
]
model = dict(
    type='lewel_plugins.PretrainedClassifier',
    checkpoint=None,
    frozen=False,
    backbone=dict(type='lewel_plugins.ResNet10'),
    head=dict(type='LinearClsHead', num_classes=10, loss=dict(type='CrossEntropyLoss'), topk=(1,)),
)
data_preprocessor = dict(views=_base_.views[:1])
train_dataloader = dict(dataset=dict(labels=True))
max_epochs = 24
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=2)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=1))

# Supervised training on garment scenes: the optimizer, budget and view of the methods there, and all labels.
_base_ = [
    '../../_base_/datasets/garment-scenes_32px.py',
    '../../_base_/classification_runtime.py',
    '../../_base_/schedules/garment-scenes_24e.py',
]
model = dict(
    type='lewel_plugins.PretrainedClassifier',
    checkpoint=None,
    frozen=False,
    backbone=dict(type='lewel_plugins.ResNet10'),
    head=dict(type='LinearClsHead', num_classes=10, loss=dict(type='CrossEntropyLoss'), topk=(1,)),
)
data_preprocessor = dict(views=_base_.views[:1])
train_dataloader = dict(batch_size=64)
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=1))

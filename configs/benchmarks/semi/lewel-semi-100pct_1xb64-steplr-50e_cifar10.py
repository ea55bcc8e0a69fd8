# 100 % of the labels of CIFAR-10, crops and flips, by the rates of LEWEL Sec. 4.2 for 10 %.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/cifar10_cls.py',
    '../../_base_/schedules/semi_sgd_steplr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=10))
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(
    optimizer=dict(lr=0.1),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.01 / 0.1))),
)
auto_scale_lr = dict(base_batch_size=64)

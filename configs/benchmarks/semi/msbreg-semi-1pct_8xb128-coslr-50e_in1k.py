# MSBReg Sec. 8.2, 1 % of ImageNet: Nesterov, batch 1,024, head 2.0, backbone frozen. The paper names no schedule: cosine,
# 50 epochs.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k_cls.py',
    '../../_base_/schedules/semi_sgd_steplr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=True, head=dict(num_classes=1000))
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='lewel_plugins.LabelledSplit',
            dataset=_base_.train_dataloader.dataset.dataset,
            split_file='data/splits/in1k_1pct_seed0.txt',
            fraction=0.01,
            seed=0,
        )
    ),
)
optim_wrapper = dict(optimizer=dict(lr=2.0, nesterov=True))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=50, by_epoch=True, begin=0, end=50, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=1024)

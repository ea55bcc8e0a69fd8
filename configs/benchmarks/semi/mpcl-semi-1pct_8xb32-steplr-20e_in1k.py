# MPCL's semi-supervised evaluation on 1 % of ImageNet is that of Barlow Twins (Zbontar et al. 2021, Appendix): 20 epochs,
# batch 256, head 0.5, backbone 0.002, a fifth at 12 and 16.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k_cls.py',
    '../../_base_/schedules/semi_sgd_steplr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(
    batch_size=32,
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
optim_wrapper = dict(
    optimizer=dict(lr=0.5),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.002 / 0.5))),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[12, 16], gamma=0.2)]
train_cfg = dict(max_epochs=20, val_interval=5)
auto_scale_lr = dict(base_batch_size=256)

# SMoG Sec. 4.2, 1 % of ImageNet, by the recipe of SimCLR (Chen et al. 2020), whose code has a cosine. The paper prints
# no numbers. Ours, after SimCLR: Nesterov, batch 4,096, lr 0.8 for head and backbone, no weight decay, 60 epochs.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-1pct_cls.py',
    '../../_base_/schedules/semi_sgd.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=0.8, nesterov=True))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=60, by_epoch=True, begin=0, end=60, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=60)
auto_scale_lr = dict(base_batch_size=4096)

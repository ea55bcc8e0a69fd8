# LEWEL_M in the paper's ablations (Sec. 3.3): ImageNet-100, learning rate doubled, 240 epochs.
_base_ = [
    '../_base_/models/lewel-m_resnet50.py',
    '../_base_/datasets/in100.py',
    '../_base_/views/mocov2_224px.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=32, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.12, momentum=0.9, weight_decay=1e-4))  # Sec. 3.3: 2 x 0.06
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=240, by_epoch=True, begin=0, end=240, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=256)

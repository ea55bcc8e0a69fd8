# Ablations of the paper (Sec. 3.3): ImageNet-100, learning rate doubled, 240 epochs.
_base_ = [
    '../_base_/models/lewel-m_resnet50.py',
    '../_base_/datasets/in100_bs32_mocov2.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.12))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=240, by_epoch=True, begin=0, end=240, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=240)
auto_scale_lr = dict(base_batch_size=256)

# BYOL on ImageNet with the optimizer, heads and views of MSBReg, 200 epochs (Table 7).
_base_ = './byol-k2_resnet50_8xb64-lars-coslr-300e_in1k.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=190, by_epoch=True, begin=10, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)

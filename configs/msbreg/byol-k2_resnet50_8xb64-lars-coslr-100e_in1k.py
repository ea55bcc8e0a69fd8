# BYOL on ImageNet with the optimizer, heads and views of MSBReg, 100 epochs (Table 7).
_base_ = './byol-k2_resnet50_8xb64-lars-coslr-300e_in1k.py'
model = dict(momentum=0.01)  # BYOL's alpha for up to 100 epochs: from 0.99 to 1
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=90, by_epoch=True, begin=10, end=100, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100)

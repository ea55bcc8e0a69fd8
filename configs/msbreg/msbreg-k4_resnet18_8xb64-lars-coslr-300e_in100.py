# MSBReg on ImageNet-100, 300 epochs, the length of Table 11 (Sec. 10). Its other rows are in
# ../comparisons/msbreg_weights_garment-scenes.py.
_base_ = './msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=290, by_epoch=True, begin=10, end=300, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)

# LEWEL_B as the paper prints it (Sec. 3.3), 100 epochs.
_base_ = './lewel-b_resnet50_8xb64-sgd-coslr-200e_in1k.py'
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=100, by_epoch=True, begin=0, end=100, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=100)

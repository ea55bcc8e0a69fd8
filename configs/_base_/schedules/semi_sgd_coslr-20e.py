# MPCL, few labels: 20 epochs, head 0.5, backbone 0.002, cosine.
_base_ = './semi_sgd.py'
optim_wrapper = dict(
    optimizer=dict(lr=0.5),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.002 / 0.5))),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=20, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=20, val_interval=5)

# MPCL, few labels: 20 epochs, head 0.5, backbone 0.002, rate divided by 5 at epochs 12 and 16.
_base_ = './semi_sgd.py'
optim_wrapper = dict(
    optimizer=dict(lr=0.5),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.002 / 0.5))),
)
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[12, 16], gamma=0.2)]
train_cfg = dict(max_epochs=20, val_interval=5)

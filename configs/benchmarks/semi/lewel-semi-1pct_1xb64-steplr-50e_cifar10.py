# 1 % of the labels of CIFAR-10, by the rates of LEWEL Sec. 4.2 for 1 %.
_base_ = './lewel-semi-10pct_1xb64-steplr-50e_cifar10.py'
train_dataloader = dict(
    dataset=dict(dataset=dict(split_file='data/splits/cifar10_1pct_seed0.txt', fraction=0.01))
)
optim_wrapper = dict(
    optimizer=dict(lr=1.0),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1e-4))),
)

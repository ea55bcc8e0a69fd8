# 1 % of the labels of garment scenes, by the rates of LEWEL Sec. 4.2 for 1 %.
_base_ = './lewel-semi-10pct_1xb64-steplr-50e_garment-scenes.py'
train_dataloader = dict(
    dataset=dict(dataset=dict(split_file='data/splits/garment-scenes_1pct_seed0.txt', fraction=0.01))
)
optim_wrapper = dict(
    optimizer=dict(lr=1.0),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1e-4))),
)

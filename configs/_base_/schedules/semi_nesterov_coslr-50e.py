# MSBReg, few labels: Nesterov's momentum (Sec. 8.2), 50 epochs, cosine (our choice). Recipes set the rates.
_base_ = './semi_sgd.py'
optim_wrapper = dict(optimizer=dict(nesterov=True))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=50, by_epoch=True, begin=0, end=50, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=50)

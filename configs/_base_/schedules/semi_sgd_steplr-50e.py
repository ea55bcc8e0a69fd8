# LEWEL, few labels (Sec. 4.2): 50 epochs, rate divided by 10 at epochs 30 and 40. Recipes set the rates.
_base_ = './semi_sgd.py'
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[30, 40], gamma=0.1)]
train_cfg = dict(max_epochs=50)

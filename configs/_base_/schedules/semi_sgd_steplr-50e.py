# LEWEL's for a few labels: 50 epochs, a tenth at 30 and 40. The rates are the recipe's.
_base_ = './semi_sgd.py'
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[30, 40], gamma=0.1)]
train_cfg = dict(max_epochs=50)

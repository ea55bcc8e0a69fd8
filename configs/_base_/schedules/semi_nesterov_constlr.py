# SMoG's for a few labels: Nesterov's momentum, lr 0.8 for head and backbone, constant. The epochs are the recipe's.
_base_ = './semi_sgd.py'
optim_wrapper = dict(optimizer=dict(lr=0.8, nesterov=True))
param_scheduler = []

# SMoG, few labels: Nesterov's momentum, a constant rate of 0.8 for head and backbone. Recipes set the number of epochs.
_base_ = './semi_sgd.py'
optim_wrapper = dict(optimizer=dict(lr=0.8, nesterov=True))
param_scheduler = []

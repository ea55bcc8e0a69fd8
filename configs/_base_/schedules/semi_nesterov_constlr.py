# SMoG's: Nesterov's momentum, lr 0.8 for 4,096 images, for head and backbone, to the end.
_base_ = './semi_sgd.py'
optim_wrapper = dict(optimizer=dict(lr=0.8, nesterov=True))
param_scheduler = []

# Does CIFAR-10 with the small recipes separate what it should? Random initialization, raw pixels, supervised training as
# the room above, and mmpretrain's MoCo v2 at its best rate, at the length of the recipes and at half of it. No method of
# ours takes part.
_base_ = './_base_/cifar10_methods.py'
name = 'calibration_cifar10'
title = 'Calibration of CIFAR-10'
question = 'Does pretraining for ten epochs end well above raw pixels, and well below supervised training?'

base = '../baselines/mocov2_resnet10_1xb128-10e_cifar10.py'
knn = '{python} {tools}/analysis/baseline_knn.py {config} --seeds {seed} --out {json}'
rate = {'optim_wrapper.optimizer.lr': _base_.shared['MoCo v2'].lr}
half = {
    **rate,
    'train_cfg.max_epochs': 5,
    'train_cfg.val_interval': 5,
    'param_scheduler.0.T_max': 5,
    'param_scheduler.0.end': 5,
}
rows = [
    dict(name='MoCo v2', options=rate),
    dict(name='MoCo v2, half the length', bound_to_base=True, options=half),
    dict(name='supervised', config='../benchmarks/supervised/supervised_resnet10_1xb128-10e_cifar10.py'),
    dict(name='random initialisation', command=knn, select='random initialization'),  # prose: ok
    dict(name='raw pixels', command=knn, select='raw pixels', per_seed=False),
]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
]
seeds = [0, 1, 2]
baseline = 'MoCo v2'
del knn, rate, half

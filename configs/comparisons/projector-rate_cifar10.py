# What the control of all-methods_cifar10.py has its gain from: it differs from MoCo v2 there in the rate of the backbone,
# 0.03 instead of 0.01, and in that of the projector, a quarter of it. The row between them has 0.03 for both. The other two
# are the trainings of all-methods_cifar10.py.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_evaluation.py']
name = 'projector-rate_cifar10'
title = 'Rates of MoCo v2 and of its projector on CIFAR-10'
question = 'Does MoCo v2 with a slow projector gain by the rate of the projector or by that of the backbone?'

method, slow = _base_.shared['MoCo v2'], _base_.shared['MoCo v2, projector at 1/4']
rates = {
    'MoCo v2, 0.01': (method, 0.01, ''),
    'MoCo v2, 0.03': (method, 0.03, 'MoCo v2, 0.01'),
    'MoCo v2, 0.03, projector at 1/4': (slow, 0.03, 'MoCo v2, 0.03'),
}
rows = [
    dict(name=name, config=row.config, options={**row.options, 'optim_wrapper.optimizer.lr': lr}, baseline=baseline)
    for name, (row, lr, baseline) in rates.items()
]
seeds = [0, 1, 2]
del method, slow, rates

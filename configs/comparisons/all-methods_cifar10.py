# All methods and baselines on CIFAR-10: the small recipes, each at its best rate (rates_cifar10.py), three
# seeds, equal images; then tools/evaluate.py on the last checkpoint of each, with the run's seed. equal-time_cifar10.py
# has them at equal time. The claims are orders of two rows in the papers' tables of classification.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_evaluation.py']
name = 'all-methods_cifar10'
title = 'All methods on CIFAR-10'
question = 'Which method learns the best features of these photographs in ten epochs, and what do the papers say of it?'

# The paired differences: each method beside its framework, and SMoG, which has none, beside BYOL.
baselines = {
    'MoCo v2, projector at 1/4': 'MoCo v2',
    'MoCo v3': 'MoCo v2',
    'BYOL': 'MoCo v2',
    'BYOL, LARS': 'BYOL',
    'BYOL, EMAN': 'BYOL',
    'Barlow Twins': 'MoCo v2',
    'LEWEL_M': 'MoCo v2',
    'LEWEL_B': 'BYOL',
    'LEWEL_B, EMAN': 'BYOL, EMAN',
    'SMoG': 'BYOL',
    'SMoG, multi-crop': 'SMoG',
    'MPCL, MoCo v2': 'MoCo v2',
    'MPCL, MoCo v3': 'MoCo v3',
    'MPCL, Barlow Twins': 'Barlow Twins',
    'MSBReg, K = 2': 'BYOL, LARS',
    'MSBReg, K = 4': 'BYOL, LARS',
    'MSBReg, K = 8': 'MSBReg, K = 4',
}
rows = [
    dict(
        name=name,
        config=method.config,
        options={**method.options, 'optim_wrapper.optimizer.lr': method.lr},
        baseline=baselines.get(name, ''),
    )
    for name, method in _base_.shared.items()
]
baseline = 'MoCo v2'
seeds = [0, 1, 2]

linear, one, ten = 'evaluation/linear/top1_by_rate', 'evaluation/semi_1pct/top1', 'evaluation/semi_10pct/top1'
five = 'knn/top1_k5'
papers = {  # paper and table: (better, worse, metric, the difference in points)
    'LEWEL, Table 1, 100 epochs': [
        ('LEWEL_M', 'MoCo v2', linear, '+1.6'),
        ('LEWEL_B, EMAN', 'BYOL, EMAN', linear, '+1.3'),
        ('BYOL, EMAN', 'MoCo v2', linear, '+6.1'),
        ('LEWEL_B, EMAN', 'LEWEL_M', linear, '+5.8'),
    ],
    'LEWEL, Table 1, 400 epochs': [('LEWEL_B', 'BYOL', linear, '+0.6, BYOL quoted')],
    'LEWEL, Table 2': [
        ('LEWEL_M', 'MoCo v2', one, '+1.3'),
        ('LEWEL_M', 'MoCo v2', ten, '+0.6'),
        ('LEWEL_B, EMAN', 'BYOL, EMAN', one, '+1.3'),
        ('LEWEL_B, EMAN', 'BYOL, EMAN', ten, '+0.7'),
    ],
    'SMoG, Table 1': [
        ('SMoG', 'BYOL', linear, '+0.4, 400 epochs'),
        ('SMoG', 'MoCo v3', linear, '+0.5, 400 epochs'),
        ('SMoG', 'MoCo v2', linear, '+3.4, 800 epochs'),
        ('SMoG', 'Barlow Twins', linear, '+1.3, 800 and 1,000 epochs'),
        ('SMoG, multi-crop', 'SMoG', linear, '+2.8, 400 epochs'),
    ],
    'SMoG, Table 4': [
        ('SMoG, multi-crop', 'BYOL', one, '+4.8'),
        ('SMoG, multi-crop', 'BYOL', ten, '+2.4'),
        ('SMoG, multi-crop', 'Barlow Twins', one, '+3.0'),
        ('SMoG, multi-crop', 'Barlow Twins', ten, '+1.5'),
    ],
    'MPCL, Table IV': [('MPCL, MoCo v2', 'MoCo v2', linear, '+1.0')],
    'MPCL, Table V': [
        ('MPCL, MoCo v2', 'MoCo v2', one, '+0.9'),
        ('MPCL, MoCo v2', 'MoCo v2', ten, '+1.2'),
    ],
    'MPCL, Table VII': [
        ('MPCL, Barlow Twins', 'Barlow Twins', linear, '+0.7'),
        ('MPCL, MoCo v3', 'MoCo v3', linear, '+1.9'),
    ],
    'MSBReg, Table 1': [
        ('MSBReg, K = 4', 'BYOL, LARS', linear, '+8.8 ImageNet-100, +3.5 STL-10'),
        ('MSBReg, K = 4', 'BYOL, LARS', five, '+11.1 ImageNet-100, +5.2 STL-10'),
        ('MSBReg, K = 8', 'MSBReg, K = 4', linear, '+1.2 ImageNet-100, +0.2 STL-10'),
        ('MSBReg, K = 8', 'MSBReg, K = 4', five, '+0.9 ImageNet-100, +0.2 STL-10'),
    ],
    'MSBReg, Table 2': [('MSBReg, K = 4', 'MoCo v2', linear, '+3.3, 100 epochs')],
    'MSBReg, Table 3': [
        ('MSBReg, K = 4', 'BYOL', one, '+5.4'),
        ('MSBReg, K = 4', 'BYOL', ten, '+1.8'),
        ('MSBReg, K = 4', 'Barlow Twins', one, '+3.1'),
        ('MSBReg, K = 4', 'Barlow Twins', ten, '+0.9'),
    ],
}
claims = [
    dict(source=source, better=better, worse=worse, metric=metric, figure=figure)
    for source, orders in papers.items()
    for better, worse, metric, figure in orders
]
del baselines, linear, one, ten, five, papers

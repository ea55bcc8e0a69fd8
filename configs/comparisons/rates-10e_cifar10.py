# Whether the best rates of the search (rates_cifar10.py, five epochs) are the best of the ten epochs of
# all-methods_cifar10.py, too. They are measured on the test images and choose nothing. Trainings of all-methods_cifar10.py
# and projector-rate_cifar10.py are used again.
_base_ = './_base_/cifar10_methods.py'
name = 'rates-10e_cifar10'
title = 'Learning rates on CIFAR-10 at ten epochs'
question = 'Are the rates that are best after five epochs the best after ten?'

rates = {
    'BYOL': (0.3, 0.1, 0.03),
    'LEWEL_B': (0.1, 0.03, 0.3),
    'SMoG': (0.03, 0.1, 0.01),
    'MoCo v2': (0.01, 0.03, 0.1),
}
rows = [
    dict(
        name=f'{method}, {lr}',
        config=_base_.shared[method].config,
        options={**_base_.shared[method].options, 'optim_wrapper.optimizer.lr': lr},
        baseline=f'{method}, {lrs[0]}',
        series=method,
        value=lr,
    )
    for method, lrs in rates.items()
    for lr in lrs
]
seeds = [0]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
del rates

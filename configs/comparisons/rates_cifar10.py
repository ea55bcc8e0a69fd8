# The learning rate of each method on CIFAR-10, at half the length of the recipes, with one seed: three rates of SGD, and more
# beyond the best until it is neither the lowest nor the highest; one rate of LARS, and more where that is better than the
# best of SGD. The networks train on 45,000 of the training images, and the other 5,000 give the score, so that no test image
# takes part. By SGD, the loss of MSBReg, in which L_s is of fourth order, is infinite within 40 steps at 0.3, and for K = 4
# at 0.1: there are no such rows.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_search.py']
name = 'rates_cifar10'
title = 'Learning rates on CIFAR-10'
question = 'Which optimizer and which rate is the best for each method?'

# group_schedule(images=45000, batch_size=128, epochs=5)
smog = {'model.head.end_beta': 0.85, 'model.momentum': 0.017, 'custom_hooks.0.interval': 18}
sgd = dict(type='SGD', momentum=0.9, weight_decay=1e-4)
lars = dict(type='lewel_plugins.LARS', momentum=0.9, weight_decay=1e-6)
beyond = {
    'MoCo v2': (0.01, 0.003),
    'BYOL': (1.0,),
    'Barlow Twins': (0.01, 0.003, 0.001, 0.0003),
    'SMoG': (0.01,),
    'MPCL, MoCo v3': (1.0,),
    'MPCL, Barlow Twins': (0.01, 0.003, 0.001, 0.0003),
    'MSBReg, K = 4': (0.01,),
}
beyond_lars = {
    'MoCo v3': (1.0, 10.0),
    'MPCL, MoCo v3': (1.0, 10.0),
    'BYOL': (1.0, 10.0),
    'MSBReg, K = 2': (1.0, 10.0),
    'MSBReg, K = 4': (1.0, 10.0),
    'MSBReg, K = 8': (1.0, 10.0),
}
infinite = [('MSBReg, K = 2', 0.3), ('MSBReg, K = 4', 0.3), ('MSBReg, K = 4', 0.1), ('MSBReg, K = 8', 0.3)]
searches = [
    (name, method, series, dict(optimizer, _delete_=True, lr=lr))
    for name, method in _base_.shared.items()
    if name != 'BYOL, LARS'
    for series, optimizer, rates in (
        (name, sgd, (0.1, 0.3, 0.03, *beyond.get(name, ()))),
        (f'{name}, LARS', lars, (3.0, *beyond_lars.get(name, ()))),
    )
    for lr in rates
    if (series, lr) not in infinite and series != 'MoCo v2, projector at 1/4, LARS'  # LARS scales each layer anyway
]
rows = [
    dict(
        name='raw pixels',
        config='../baselines/mocov2_resnet10_1xb128-10e_cifar10.py',
        command='{python} {tools}/analysis/baseline_knn.py {config} --seeds {seed} --out {json}',
        select='raw pixels',
        per_seed=False,
    ),
    *[
        dict(
            name=f'{series}, {optimizer["lr"]}',
            config=method.config,
            options={**method.options, **(smog if name.startswith('SMoG') else {}), 'optim_wrapper.optimizer': optimizer},
            baseline=f'{name}, 0.03',
            series=series,
            value=optimizer['lr'],
        )
        for name, method, series, optimizer in searches
    ],
]
del smog, sgd, lars, beyond, beyond_lars, infinite, searches

# Pairs whose order in all-methods_cifar10.py differs from the papers', and BYOL's loss by a teacher with averaged
# statistics, three times as long: are its ten epochs the reason? The rates are the best of the search, which had five
# epochs. The longest rows come first, so that two jobs end together.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_evaluation.py']
name = 'length_cifar10'
title = 'LEWEL_B and SMoG beside their baselines on CIFAR-10, three times as long'
question = 'After thirty epochs, is LEWEL_B above BYOL, SMoG above BYOL and MoCo v2, and does EMAN cost BYOL as much?'

length = ('train_cfg.max_epochs', 'train_cfg.val_interval', 'param_scheduler.0.T_max', 'param_scheduler.0.end')
# group_schedule(images=50000, batch_size=128, epochs=30)
smog = {'model.head.end_beta': 0.976, 'model.momentum': 0.0025, 'custom_hooks.0.interval': 120}
baselines = {'LEWEL_B': 'BYOL', 'BYOL': '', 'BYOL, EMAN': 'BYOL', 'SMoG': 'BYOL', 'MoCo v2': 'SMoG'}
rows = [
    dict(
        name=name,
        config=_base_.shared[name].config,
        options={
            **_base_.shared[name].options,
            **(smog if name == 'SMoG' else {}),
            **dict.fromkeys(length, 30),
            'optim_wrapper.optimizer.lr': _base_.shared[name].lr,
        },
        baseline=baselines[name],
    )
    for name in baselines
]
seeds = [0]
del length, smog, baselines

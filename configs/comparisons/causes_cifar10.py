# Why LEWEL_B and SMoG are not above BYOL on CIFAR-10, and what of MPCL's gain its penalty has: each row changes one thing that
# may be the cause, by the protocol of the search of rates (rates_cifar10.py) at the best rate found there.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_search.py']
name = 'causes_cifar10'
title = 'Causes of differences on CIFAR-10'
question = 'Does a method gain by a warm-up, another teacher, other groups or other maps, and does MPCL gain by its penalty?'

# A tenth of 5 × 351 steps, as in the papers of SMoG (10 of 100 epochs) and LEWEL_B; the small recipes have none.
warm_up = {
    'param_scheduler': [
        dict(type='LinearLR', start_factor=1e-4, by_epoch=False, begin=0, end=175),
        dict(type='CosineAnnealingLR', T_max=1580, by_epoch=False, begin=175, end=1755),
    ]
}
# group_schedule(images=45000, batch_size=128, epochs=5)
smog = {'model.head.end_beta': 0.85, 'model.momentum': 0.017, 'custom_hooks.0.interval': 18}
changes = {
    'BYOL': {'': {}, 'warm-up': warm_up},
    'LEWEL_B': {
        '': {},
        'warm-up': warm_up,
        'maps of equal weights, one group': {'model.neck.alignment': 'uniform', 'model.neck.num_groups': 64},
        'clearer maps': {'model.neck.scale': 8.0},
        'maps of their own projector': {'model.neck.coupled': False},
    },
    'BYOL, EMAN': {'': {}, 'warm-up': warm_up},
    'LEWEL_B, EMAN': {'': {}, 'warm-up': warm_up},
    'SMoG': {
        '': smog,
        'warm-up': {**smog, **warm_up},
        'resets every 5 steps': {**smog, 'custom_hooks.0.interval': 5, 'model.momentum': 0.06},
        '30 groups': {**smog, 'model.head.num_groups': 30},
        '300 groups': {**smog, 'model.head.num_groups': 300},
    },
    'MPCL, MoCo v2': {'': {}, 'without the penalty': {'model.head.balance.pcr_weight': 0.0}},
}
rows = [
    dict(
        name=', '.join(filter(None, (name, change))),
        config=_base_.shared[name].config,
        options={
            **_base_.shared[name].options,
            **options,
            'optim_wrapper.optimizer': dict(
                type='SGD', momentum=0.9, weight_decay=1e-4, _delete_=True, lr=_base_.shared[name].lr
            ),
        },
        baseline=name,
    )
    for name, rows in changes.items()
    for change, options in rows.items()
]
baseline = 'BYOL'
del warm_up, smog, changes

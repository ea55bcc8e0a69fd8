# When SMoG's groups are reset, from which features, and what then follows from the length of training. Interval 100 is
# 7 % of the 1,500 steps; 300 iterations are 1 % of the paper's 100 epochs. A short window has fewer features per group:
# 21 with interval 100, 1.3 with the last quarter of 25. All settings stand here, so that the rows keep them when the
# recipe changes.
_base_ = './_base_/garment-scenes_12e.py'
name = 'smog_reset_garment-scenes'
title = "The resets of SMoG's groups on garment scenes, and the gradient through the groups"
question = (
    'Do resets from a smaller share of training make groups that separate images instead of times? '
    "Is SMoG then above MoCo v2? Should the loss's gradient flow through the groups?"
)
seeds = [0, 1, 2, 3, 4]

base = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
settings = {
    'custom_hooks.0.interval': 100,
    'custom_hooks.0.window': None,
    'model.momentum': 0.01,
    'model.head.num_groups': 300,
    'model.head.beta': 1.0,
    'model.head.end_beta': 0.99,
    'model.head.detach_groups': False,
}
rows = [
    dict(name='interval 100', bound_to_base=True, options=settings),
    dict(name='interval 50', bound_to_base=True, options={**settings, 'custom_hooks.0.interval': 50}),
    dict(name='interval 25', bound_to_base=True, options={**settings, 'custom_hooks.0.interval': 25}),
    dict(name='interval 100, last quarter', bound_to_base=True, options={**settings, 'custom_hooks.0.window': 25}),
    dict(
        name='interval 50, last quarter',
        bound_to_base=True,
        options={**settings, 'custom_hooks.0.interval': 50, 'custom_hooks.0.window': 12},
    ),
    dict(
        name='interval 25, last quarter',
        bound_to_base=True,
        options={**settings, 'custom_hooks.0.interval': 25, 'custom_hooks.0.window': 6},
    ),
    # group_schedule(images=8000, batch_size=64, epochs=12).
    dict(
        name="paper's ratios",
        bound_to_base=True,
        options={
            **settings,
            'custom_hooks.0.interval': 15,
            'model.momentum': 0.02,
            'model.head.num_groups': 46,
            'model.head.end_beta': 0.82,
        },
    ),
    dict(name='detached groups', bound_to_base=True, options={**settings, 'model.head.detach_groups': True}),
    dict(name='β 1 to 0.9', bound_to_base=True, options={**settings, 'model.head.end_beta': 0.9}),
    dict(
        name='β 1 to 0.9, detached groups',
        bound_to_base=True,
        options={**settings, 'model.head.end_beta': 0.9, 'model.head.detach_groups': True},
    ),
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='BYOL', config='../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'),
]
baseline = 'interval 100'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='groups_used', label='share of groups used', digits=2),
    dict(key='groups_quarter_information', label='group and time, nats', digits=2),
    dict(key='groups_quarter_information_shuffled', label='times shuffled, nats', digits=2),
    dict(key='groups_participation_ratio', label='participation ratio of z', digits=1),
    dict(key='groups_agreement', label='online = teacher', digits=2),
]
del settings

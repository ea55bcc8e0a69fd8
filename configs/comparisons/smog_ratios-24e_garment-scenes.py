# The ratios of the paper's settings against those that the recipe had, at 24 epochs: smog_reset_garment-scenes.py has
# both at 12. All settings stand here, so that the rows keep them when the recipe changes.
_base_ = './_base_/garment-scenes_12e.py'
name = 'smog_ratios-24e_garment-scenes'
title = "The ratios of SMoG's settings on garment scenes, 24 epochs"
question = "Is SMoG better with the ratios of the paper's settings than with interval 100 and 300 groups, after 3,000 steps?"
options = {
    'train_cfg.max_epochs': 24,
    'train_cfg.val_interval': 6,
    'param_scheduler.0.T_max': 24,
    'param_scheduler.0.end': 24,
}
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
    dict(name='interval 100, 300 groups', bound_to_base=True, options=settings),
    # group_schedule(images=8000, batch_size=64, epochs=24).
    dict(
        name="paper's ratios",
        bound_to_base=True,
        options={
            **settings,
            'custom_hooks.0.interval': 30,
            'model.head.num_groups': 46,
            'model.head.end_beta': 0.907,
        },
    ),
]
baseline = 'interval 100, 300 groups'
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

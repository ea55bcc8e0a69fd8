# SMoG, Tables 7a to 7d: the momentum of the groups, the resets, the number of groups, the update rule. The first row is
# the method; each of the others changes one thing. Resets are about an epoch apart, and 300 groups for 8,000 images are
# relatively more than 3,000 for ImageNet. smog_reset_garment-scenes.py has the ratios of the paper.
_base_ = './_base_/garment-scenes_12e.py'
name = 'smog_garment-scenes'
title = "SMoG's switches on garment scenes (Tables 7a to 7d)"
question = 'Which orderings of Tables 7a (β), 7b (resets), 7c (number of groups) and 7d (update rule) hold?'

base = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
options = {'custom_hooks.0.interval': 100, 'model.head.num_groups': 300, 'model.head.end_beta': 0.99}
rows = [
    dict(name='SMoG'),
    dict(name='7b: no resets', options={'custom_hooks.0.cluster': False, 'custom_hooks.0.teacher': False}),
    dict(name='7b: clustering only', options={'custom_hooks.0.teacher': False}),
    dict(name='7b: teacher reset only', options={'custom_hooks.0.cluster': False}),
    dict(name='7a: β 0.99', options={'model.head.beta': 0.99, 'model.head.end_beta': None}),
    dict(name='7a: β 1 to 0.9', options={'model.head.end_beta': 0.9}),
    dict(name='7a: β 1 to 0.999', options={'model.head.end_beta': 0.999}),
    dict(name='7d: random', options={'model.head.update': 'random'}),
    dict(name='7d: latest', options={'model.head.update': 'latest'}),
    dict(name='7d: average', options={'model.head.update': 'average'}),
    dict(name='7c: 100 groups', bound_to_base=True, options={'model.head.num_groups': 100}),
    dict(name='7c: 1000 groups', bound_to_base=True, options={'model.head.num_groups': 1000}),
    # How the groups start (Sec. 3.4), which the paper does not ablate.
    dict(name='random start', options={'custom_hooks.0.start': 'random'}),
]
baseline = 'SMoG'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
    dict(key='groups_used', label='share of groups used', digits=2),
]
variants = dict(
    in1k=dict(
        title="SMoG's switches on ImageNet, 100 epochs (Tables 7a to 7d)",
        base='../smog/smog_resnet50_8xb512-lars-coslr-100e_in1k.py',
        rows={
            '7c: 100 groups': dict(name='7c: 300 groups', options={'model.head.num_groups': 300}),
            '7c: 1000 groups': dict(options={'model.head.num_groups': 1000}),
        },
        add=[dict(name='7c: 10000 groups', options={'model.head.num_groups': 10000})],
        seeds=[0],
    ),
)

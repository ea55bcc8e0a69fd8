# SMoG, Table 7b: what keeps it from collapsing. Views, optimizer and epochs are those of all methods.
name = 'smog_resets_garment-scenes'
title = 'SMoG: resets on garment scenes (Table 7b)'
question = 'Does it collapse without resets, does each half prevent that, and are both best?'

base = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='both'),
    dict(name='none', options={'custom_hooks.0.cluster': False, 'custom_hooks.0.teacher': False}),
    dict(name='clustering only', options={'custom_hooks.0.teacher': False}),
    dict(name='teacher reset only', options={'custom_hooks.0.cluster': False}),
]
seeds = [0, 1, 2]
baseline = 'both'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='groups_used', label='share of groups used', digits=2),
]

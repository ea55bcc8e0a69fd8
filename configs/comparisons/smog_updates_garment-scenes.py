# SMoG, Table 7d: how the groups follow their features. Views, optimizer and epochs are those of all methods.
name = 'smog_updates_garment-scenes'
title = 'SMoG: updates of the groups on garment scenes (Table 7d)'
question = 'Is the order random, latest, average, momentum, from worst to best?'

base = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='momentum'),
    dict(name='random', options={'model.update': 'random'}),
    dict(name='latest', options={'model.update': 'latest'}),
    dict(name='average', options={'model.update': 'average'}),
]
seeds = [0, 1, 2]
baseline = 'momentum'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='groups_used', label='share of groups used', digits=2),
]

# SMoG, Table 7a: the momentum of the groups. Views, optimizer and epochs are those of all methods.
name = 'smog_beta_garment-scenes'
title = 'SMoG: schedules of β on garment scenes (Table 7a)'
question = 'Is a linear schedule from 1 better than a fixed β = 0.99, and does its end not matter much?'

base = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='1 to 0.99'),
    dict(name='0.99', options={'model.beta': 0.99, 'model.end_beta': None}),
    dict(name='1 to 0.9', options={'model.end_beta': 0.9}),
    dict(name='1 to 0.999', options={'model.end_beta': 0.999}),
]
seeds = [0, 1, 2]
baseline = '1 to 0.99'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='groups_used', label='share of groups used', digits=2),
]

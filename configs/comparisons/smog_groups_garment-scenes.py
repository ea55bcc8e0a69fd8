# SMoG, Table 7c: the number of groups, for 8,000 images instead of 1.28 million. Views, optimizer and epochs are those
# of all methods.
name = 'smog_groups_garment-scenes'
title = 'SMoG: number of groups on garment scenes (Table 7c)'
question = 'Does the number of groups matter little, once there are enough?'

base = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='300 groups'),
    dict(name='100 groups', options={'model.num_groups': 100}),
    dict(name='1000 groups', options={'model.num_groups': 1000}),
]
seeds = [0, 1, 2]
baseline = '300 groups'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='groups_used', label='share of groups used', digits=2),
]

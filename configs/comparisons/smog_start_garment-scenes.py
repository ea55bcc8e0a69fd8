# SMoG with random initial groups beside the K-means of the recipe, 6 epochs with LARS. Is the start the reason why it
# is below MoCo v2 in all-methods_garment-scenes.py? That file contains the first two rows.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'smog_start_garment-scenes'
title = "The start of SMoG's groups on garment scenes"
question = 'Is SMoG above MoCo v2 if its groups start at random?'
smog = '../smog/smog_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='SMoG', config=smog),
    dict(name='SMoG, random start', config=smog, options={'custom_hooks.0.start': 'random'}),
]
baseline = 'MoCo v2'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
del smog

# Pairs whose order in all-methods_garment-scenes.py differs from the papers', at four times its budget, by k-NN: are
# its 750 steps the reason? The longest rows come first, so that two jobs end together.
_base_ = './_base_/garment-scenes_12e-lars.py'
name = 'all-methods-24e_garment-scenes'
title = 'LEWEL_B and SMoG beside their baselines on garment scenes, four times as long'
question = 'Is LEWEL_B above BYOL, and SMoG above MoCo v2, after 3,000 steps?'
options = {
    'train_cfg.max_epochs': 24,
    'train_cfg.val_interval': 6,
    'param_scheduler.0.T_max': 24,
    'param_scheduler.0.end': 24,
}
rows = [
    dict(name='LEWEL_B', config='../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='BYOL', config='../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='SMoG', config='../smog/smog_resnet10_1xb64-24e_garment-scenes.py', baseline='MoCo v2'),
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'),
]
baseline = 'BYOL'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]

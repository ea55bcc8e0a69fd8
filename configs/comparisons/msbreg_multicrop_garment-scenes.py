# MSBReg's Table 7: more views of one size against small crops. 4 rows × 3 seeds. The results in
# docs/results are older than targets='all': their "BYOL + multi-crop" is the row with large targets.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_multicrop_garment-scenes'
title = "MSBReg and BYOL with multi-crop on garment scenes (the paper's Table 7)"
question = 'Does multi-crop help or harm BYOL, and are K views of one size better?'

multi_crop = '../msbreg/byol-multicrop_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='BYOL', config='../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='BYOL + multi-crop', config=multi_crop),
    dict(name='BYOL + multi-crop, large targets', config=multi_crop, options={'model.head.targets': 'large'}),
    dict(name='MSBReg, K = 4', config='../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'),
]
baseline = 'BYOL'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
del multi_crop

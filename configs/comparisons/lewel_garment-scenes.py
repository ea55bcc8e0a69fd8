# LEWEL against its baselines: 3 seeds, equal budget in images seen, one optimizer and one set of views for all.
_base_ = './_base_/garment-scenes_12e.py'
name = 'lewel_garment-scenes'
title = 'LEWEL and its baselines on garment scenes'
question = 'Is LEWEL_B above BYOL, and LEWEL_M above MoCo v2, at equal budget? Are they above raw pixels?'

knn = '{python} {tools}/analysis/baseline_knn.py {config} --seeds {seed} --out {json}'
maps = '{python} {tools}/analysis/alignment_maps.py {checkpoint} --images data/garment_scenes/val'
maps += ' --masks data/garment_scenes/val_masks --out {work_dir}/maps.png --json {json}'
lewel_b = '../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='BYOL', config='../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='LEWEL_B', config=lewel_b),
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'),
    dict(
        name='LEWEL_M',
        config='../lewel/lewel-m_resnet10_1xb64-24e_garment-scenes.py',
        baseline='MoCo v2',
    ),
    dict(name='random initialisation', config=lewel_b, command=knn, select='random initialization'),  # prose: ok
    dict(name='raw pixels', config=lewel_b, command=knn, select='raw pixels', per_seed=False),
]
# The share of the best map's mass on the garment, against the garment's share of the area.
post = [dict(name='maps', rows=['LEWEL_B'], command=maps)]
baseline = 'BYOL'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
    dict(key='maps/learned/best/mean', label='mass on the garment', digits=3),
    dict(key='maps/random/best/mean', label='that of random maps', digits=3),
    dict(key='area/mean', label="garment's area", digits=3),
]
del knn, maps, lewel_b

# MSBReg's Tables 6 and 13, the rows of MSBReg itself: normalisation in its heads. 5 rows × 3 seeds.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_norms-k4_garment-scenes'
title = "BN, LN and weight standardisation in MSBReg's heads on garment scenes (the paper's Tables 6 and 13)"
question = 'Does K = 4 learn with LN in its heads, and how strong must L_b be?'

msbreg = '../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='K = 4, BN, L_b 5e-2', config=msbreg, options={'model.lambda_b': 5e-2}),
    *[
        dict(
            name=f'K = 4, LN, L_b {weight:g}',
            config=msbreg,
            options={'model.neck.norm': 'LN', 'model.lambda_b': weight},
        )
        for weight in (5e-4, 5e-3, 5e-2)
    ],
    dict(
        name='K = 4, LN + WS, L_b 0.005',
        config=msbreg,
        options={'model.neck.norm': 'LN', 'model.neck.standardize': True, 'model.lambda_b': 5e-3},
    ),
]
baseline = 'K = 4, BN, L_b 5e-2'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
    dict(key='rank_me', label='RankMe of embeddings', digits=1),
    dict(key='std', label='std of embeddings', digits=3),
]
del msbreg

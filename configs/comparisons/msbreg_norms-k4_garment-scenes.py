# MSBReg's Tables 6 and 13, the rows of MSBReg itself: normalization in its heads. 5 rows × 3 seeds. Rows are options of
# the base. In the paper, the base is STL-10 with batch 256, as in
# ../msbreg/msbreg-k4-ln_resnet18_1xb256-lars-coslr-320e_stl10.py.
_base_ = './msbreg_norms_garment-scenes.py'
name = 'msbreg_norms-k4_garment-scenes'
title = "BN, LN and weight standardization in MSBReg's heads on garment scenes (the paper's Tables 6 and 13)"
question = 'Does K = 4 learn with LN in its heads, and how strong must L_b be?'

base = '../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='K = 4, BN, L_b 5e-2', options={'model.neck.norm': 'BN', 'model.head.lambda_b': 5e-2}),
    *[
        dict(
            name=f'K = 4, LN, L_b {weight:g}',
            options={'model.neck.norm': 'LN', 'model.head.lambda_b': weight},
        )
        for weight in (5e-4, 5e-3, 5e-2)
    ],
    dict(
        name='K = 4, LN + WS, L_b 0.005',
        options={'model.neck.norm': 'LN', 'model.neck.standardize': True, 'model.head.lambda_b': 5e-3},
    ),
]
baseline = 'K = 4, BN, L_b 5e-2'
variants = dict(
    _delete_=True,
    stl10=dict(
        title="BN, LN and weight standardization in MSBReg's heads on STL-10 (Tables 6 and 13)",
        base='../msbreg/msbreg-k4-ln_resnet18_1xb256-lars-coslr-320e_stl10.py',
        seeds=[0],
    ),
)

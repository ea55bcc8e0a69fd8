# What MPCL's paper leaves open, on MoCo v2, PCR without PTB: 6 rows × 3 seeds.
_base_ = './_base_/garment-scenes_12e.py'
name = 'mpcl_mocov2-variants_garment-scenes'
title = 'Variants of MPCL on MoCo v2 on garment scenes'
question = 'Does anything change with squared cosines, a shared hidden layer, Eq. 4 as it reads, or other M without PTB?'

base = '../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py'
no_ptb = {'custom_hooks.0.epsilon': None}
rows = [
    dict(name='PCR', options=no_ptb),
    dict(name='M = 2, PCR', options={'model.neck.num_projectors': 2, **no_ptb}),
    dict(name='M = 8, PCR', options={'model.neck.num_projectors': 8, **no_ptb}),
    dict(name='PCR, squared', options={'model.head.balance.pcr': 'squared_cosine', **no_ptb}),
    dict(name='PCR, shared hidden layer', options={'model.neck.mlp.shared_hidden': True, **no_ptb}),
    dict(name='PCR and PTB, Eq. 4 as it reads', options={'model.head.balance.literal_eq4': True}),
]
baseline = 'PCR'
# Measured on two training views of each validation image.
post = [
    dict(
        name='views',
        command='{python} {tools}/analysis/alignment_uniformity.py {config} {checkpoint} --seed {seed} --out {json}',
    ),
]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='backbone/alignment', label='alignment', digits=3, higher_is_better=False),
    dict(key='backbone/uniformity', label='uniformity', digits=3, higher_is_better=False),
    dict(key='projector/cosine', label='cosine between projectors', digits=3, higher_is_better=False),
]
del no_ptb

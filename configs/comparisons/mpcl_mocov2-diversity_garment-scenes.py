# What makes four projectors on MoCo v2 differ (the paper's Table II), PCR without PTB for other numbers of projectors
# (Table III), and points that the paper leaves open. Run it where there is time: 10 rows × 3 seeds.
name = 'mpcl_mocov2-diversity_garment-scenes'
title = 'Diversity of projectors on MoCo v2 on garment scenes'
question = 'Table II: is PCR above mixed initialisation and orthogonal weights, and dropout below all?'

base = '../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py'
no_ptb = {'custom_hooks.0.epsilon': None}
no_pcr = {'model.pcr_weight': 0.0, **no_ptb}
rows = [
    dict(name='M = 4, same', options=no_pcr),
    dict(name='dropout', options={'model.neck.dropout': 0.5, **no_pcr}),
    dict(name='mixed initialisation', options={'model.neck.init': 'mixed', **no_pcr}),
    dict(name='orthogonal', options={'model.neck.orthogonal': True, **no_pcr}),
    dict(name='PCR', options=no_ptb),
    # Table III without PTB.
    dict(name='M = 2, PCR', options={'model.neck.num_projectors': 2, **no_ptb}),
    dict(name='M = 8, PCR', options={'model.neck.num_projectors': 8, **no_ptb}),
    # Not in the paper: squared cosines, its parameter count, and Eq. 4 as it reads.
    dict(name='PCR, squared', options={'model.squared_pcr': True, **no_ptb}),
    dict(name='PCR, shared hidden layer', options={'model.neck.shared_hidden': True, **no_ptb}),
    dict(name='PCR and PTB, Eq. 4 as it reads', options={'model.literal_eq4': True}),
]
seeds = [0, 1, 2]
baseline = 'M = 4, same'
# On two training views of each validation image.
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
del no_ptb, no_pcr

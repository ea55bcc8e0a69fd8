# MPCL on MoCo v2 (the paper's Tables I to III): 3 seeds, equal budget in images seen, one optimizer and one set of
# views for all. Projectors of the same width share their hidden layer; the hidden widths of "different" add up to four
# times that of "same". mpcl_pcr_garment-scenes.py compares the forms of PCR.
_base_ = './_base_/garment-scenes_12e.py'
name = 'mpcl_mocov2_garment-scenes'
title = 'MPCL on MoCo v2 on garment scenes'
question = (
    'Table I: are four equal projectors no better than one, different widths better, PCR better still, and PTB on '
    'top? Table II: is PCR above mixed initialization and orthogonal weights, and dropout below all? Table III: is '
    'M = 4 the best number?'
)

base = '../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py'
no_ptb = {'custom_hooks.0.epsilon': None}
no_pcr = {'model.head.balance.pcr_weight': 0.0, **no_ptb}
rows = [
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='M = 4, same', options=no_pcr),
    dict(
        name='M = 4, different',
        bound_to_base=True,
        options={'model.neck.hid_channels': [64, 96, 128, 224], **no_pcr},
    ),
    dict(name='M = 4, PCR', options=no_ptb),
    dict(name='M = 4, PCR and PTB'),
    # Table II.
    dict(name='M = 4, dropout', options={'model.neck.mlp.dropout': 0.5, **no_pcr}),
    dict(name='M = 4, mixed initialisation', options={'model.neck.mlp.init': 'mixed', **no_pcr}),  # prose: ok
    dict(name='M = 4, orthogonal', options={'model.neck.mlp.orthogonal': True, **no_pcr}),
    # Table III.
    dict(name='M = 1', options={'model.neck.num_projectors': 1}),
    dict(name='M = 2, PCR and PTB', options={'model.neck.num_projectors': 2}),
    dict(name='M = 8, PCR and PTB', options={'model.neck.num_projectors': 8}),
]
baseline = 'MoCo v2'
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
# One projector is MoCo v2. The hidden widths of "different" add up to those of "same".
one = {'model.neck.num_projectors': 1}
wide = {'model.neck.hid_channels': [1024, 1536, 2048, 3584], **no_pcr}
variants = {
    data: dict(
        title=f'MPCL on MoCo v2 on {label}',
        base=recipe,
        configs={'../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py': recipe},
        rows={
            'MoCo v2': dict(options=one),
            'M = 1': None,
            'M = 4, different': dict(options=wide),
            'M = 4, mixed initialisation': dict(name='M = 4, mixed initialization'),  # prose: ok
        },
        add=[dict(name=f'M = {m}, PCR', options={'model.neck.num_projectors': m, **no_ptb}) for m in (2, 8)],
        seeds=[0],
    )
    for data, label, recipe in (
        ('in100', 'ImageNet-100 (Tables I to III)', '../mpcl/mpcl-mocov2_resnet50_8xb16-coslr-200e_in100.py'),
        ('in1k', 'ImageNet (Tables IV to VI)', '../mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py'),
    )
}
del no_ptb, no_pcr, one, wide

# PCR of MPCL in its forms, on MoCo v2, without PTB unless the row names it: 19 rows × 3 seeds. The paper has λ = 0.01.
# With the cross-correlation, whose PCR starts at 13, that is small beside the contrastive loss (0.04 and 6.9 after
# 30 steps), λ = 0.1 is not (0.5 and 6.6), and at λ = 1 the contrastive loss is at chance, 8.2, after 150 steps.
# "Within" is a control that decorrelates the channels of each projector and compares no projectors.
_base_ = './_base_/garment-scenes_12e.py'
name = 'mpcl_pcr_garment-scenes'
title = 'PCR of MPCL on MoCo v2 on garment scenes'
question = (
    'Is the cross-correlation between projectors better than no PCR, than the printed cosine, and than the same '
    'penalty within each projector? At which λ and M, and with shared or separate hidden layers? Which ε of PTB suits '
    'projectors of different widths?'
)

base = '../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py'
pcr, weight = 'model.head.balance.pcr', 'model.head.balance.pcr_weight'
ptb, M = 'custom_hooks.0.epsilon', 'model.neck.num_projectors'
no_pcr = {weight: 0.0, ptb: None}
separate = {'model.neck.mlp.shared_hidden': False}
widths = 'M = 4, different widths, cross-correlation, λ = 0.01'
different = {'model.neck.hid_channels': [64, 96, 128, 224], weight: 0.01}
rows = [
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='M = 4, no PCR', baseline='MoCo v2', options=no_pcr),
    dict(name='M = 4, cosine, λ = 0.01', options={pcr: 'cosine', weight: 0.01, ptb: None}),
    dict(name='M = 4, cross-correlation, λ = 0.01', options={weight: 0.01, ptb: None}),
    dict(name='M = 4, cross-correlation, λ = 0.1', options={weight: 0.1, ptb: None}),
    dict(name='M = 4, cosine, λ = 1', options={pcr: 'cosine', weight: 1.0, ptb: None}),
    # The control.
    dict(name='M = 4, within, λ = 0.01', options={pcr: 'within_projector', weight: 0.01, ptb: None}),
    dict(
        name='M = 1, within, λ = 0.01',
        baseline='M = 1',
        options={M: 1, pcr: 'within_projector', weight: 0.01, ptb: None},
    ),
    dict(name='M = 1', baseline='MoCo v2', options={M: 1, **no_pcr}),
    # Separate hidden layers.
    dict(name='M = 4, separate hidden layers, no PCR', options={**separate, **no_pcr}),
    dict(
        name='M = 4, separate hidden layers, cross-correlation, λ = 0.01',
        baseline='M = 4, separate hidden layers, no PCR',
        options={**separate, weight: 0.01, ptb: None},
    ),
    # Table III.
    dict(name='M = 2, no PCR', baseline='M = 1', options={M: 2, **no_pcr}),
    dict(name='M = 2, cross-correlation, λ = 0.01', baseline='M = 2, no PCR', options={M: 2, weight: 0.01, ptb: None}),
    dict(name='M = 8, no PCR', baseline='M = 1', options={M: 8, **no_pcr}),
    dict(name='M = 8, cross-correlation, λ = 0.01', baseline='M = 8, no PCR', options={M: 8, weight: 0.01, ptb: None}),
    # Different widths, which have separate hidden layers and learn at different speeds.
    dict(name=widths, bound_to_base=True, options={**different, ptb: None}),
    dict(name=f'{widths}, PTB, ε = 0.5', baseline=widths, bound_to_base=True, options={**different, ptb: 0.5}),
    dict(name=f'{widths}, PTB, ε = 0.05', baseline=widths, bound_to_base=True, options={**different, ptb: 0.05}),
    dict(
        name=f'{widths}, PTB in per cent, ε = 0.5',
        baseline=widths,
        bound_to_base=True,
        options={**different, ptb: 0.5, 'custom_hooks.0.percent': True},
    ),
]
baseline = 'M = 4, no PCR'
# Measured on two training views of each validation image.
post = [
    dict(
        name='views',
        command='{python} {tools}/analysis/alignment_uniformity.py {config} {checkpoint} --seed {seed} --out {json}',
    ),
    # What the backbone retains of the scenes, from whole images, and of random views.
    dict(
        name='factors',
        command='{python} {tools}/analysis/retained_factors.py {config} {checkpoint} --seed {seed} --out {json}',
    ),
]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='factors/scene_mean', label='R² of scene factors', digits=3),
    dict(key='factors/view_mean', label='R² of view factors', digits=3),
    *[
        dict(key=f'factors/{name}', label=f'R² of {label}', digits=3)
        for name, label in (
            ('tint', 'tint'),
            ('position', 'position'),
            ('scale', 'scale'),
            ('rotation', 'rotation'),
            ('crop_position', 'crop position'),
            ('crop_size', 'crop size'),
        )
    ],
    dict(key='backbone/alignment', label='alignment', digits=3, higher_is_better=False),
    dict(key='backbone/uniformity', label='uniformity', digits=3, higher_is_better=False),
    dict(key='projector/cosine', label='cosine between projectors', digits=3, higher_is_better=False),
    dict(key='projector/cka', label='CKA between projectors', digits=3, higher_is_better=False),
]
del pcr, weight, ptb, M, no_pcr, separate, widths, different

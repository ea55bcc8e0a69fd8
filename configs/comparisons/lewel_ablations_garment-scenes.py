# The switches of LEWEL's Tables 5 to 7 and Fig. 3 on LEWEL_B: 19 rows × 3 seeds.
_base_ = './_base_/garment-scenes_12e.py'
name = 'lewel_ablations_garment-scenes'
title = "LEWEL_B's switches on garment scenes (the paper's Tables 5 to 7 and Fig. 3)"
question = 'Do the coupled head, learned maps, both losses and h = 4 each help?'

base = '../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='default'),
    # Table 5: global only, aligned only, both uncoupled.
    dict(name='global only', options={'model.head.beta': 0.0, 'model.neck.coupled': False}),
    dict(name='aligned only, uncoupled', options={'model.head.beta': 1.0, 'model.neck.coupled': False}),
    dict(name='both, uncoupled', options={'model.neck.coupled': False}),
    # Table 6: a larger head and an extra head, both without maps, and random maps. With uniform maps and h = d there is
    # one aligned embedding, that of GAP: p and s are an extra head on it, with a loss of its own.
    dict(
        name='global only, larger head',
        bound_to_base=True,
        options={
            'model.head.beta': 0.0,
            'model.neck.coupled': False,
            'model.neck.hid_channels': 256,
            'model.head.hid_channels': 256,
        },
    ),
    dict(
        name='extra head',
        bound_to_base=True,
        options={'model.neck.alignment': 'uniform', 'model.neck.num_groups': 64},
    ),
    dict(name='random maps', options={'model.neck.alignment': 'random'}),
    # Fig. 3a and 3b.
    dict(name='beta 0.1', options={'model.head.beta': 0.1}),
    dict(name='beta 0.3', options={'model.head.beta': 0.3}),
    dict(name='beta 0.7', options={'model.head.beta': 0.7}),
    dict(name='beta 1', options={'model.head.beta': 1.0}),
    dict(name='c 16', bound_to_base=True, options={'model.neck.aligned_channels': 16}),
    dict(name='c 256', bound_to_base=True, options={'model.neck.aligned_channels': 256}),
    # Table 7.
    dict(name='d 128, h 4', bound_to_base=True, options={'model.neck.out_channels': 128}),
    dict(name='d 32, h 4', bound_to_base=True, options={'model.neck.out_channels': 32}),
    dict(name='h 1', options={'model.neck.num_groups': 1}),
    dict(name='h 2', options={'model.neck.num_groups': 2}),
    dict(name='h 8', options={'model.neck.num_groups': 8}),
    # Teacher normalization.
    dict(name='EMAN teacher', options={'model.teacher_norm': 'eman'}),
]
baseline = 'default'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
lewel_b_in100 = dict(config='../lewel/lewel-b_resnet50_8xb64-lars-coslr-240e_in100.py')
variants = dict(
    # LEWEL_M, whose d is 128; LEWEL_B, whose d is 256, in the rows of Table 7.
    in100=dict(
        title="LEWEL's switches on ImageNet-100 (Tables 5 to 7 and Fig. 3)",
        base='../lewel/lewel-m_resnet50_8xb32-coslr-240e_in100.py',
        rows={
            # Twice the hidden channels, as above; the contrast of LEWEL_M has no head of its own.
            'global only, larger head': dict(
                options={'model.head.beta': 0.0, 'model.neck.coupled': False, 'model.neck.hid_channels': 4096}
            ),
            'extra head': dict(options={'model.neck.alignment': 'uniform', 'model.neck.num_groups': 128}),
            'd 128, h 4': lewel_b_in100,
            'd 32, h 4': dict(lewel_b_in100, name='d 64, h 4', options={'model.neck.out_channels': 64}),
            **{f'h {h}': lewel_b_in100 for h in (1, 2, 8)},
            'EMAN teacher': None,  # the recipe of LEWEL_B has it
        },
        add=[
            dict(lewel_b_in100, name='d 512, h 4', options={'model.neck.out_channels': 512}),
            dict(lewel_b_in100, name='h 16', options={'model.neck.num_groups': 16}),
            dict(name='c 64', options={'model.neck.aligned_channels': 64}),
        ],
        seeds=[0],
    ),
)
del lewel_b_in100

# MSBReg's Table 8: BYOL and MSBReg with K = 2, 4 and 8 views, with and without L_s and L_b. 19 rows × 3 seeds.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_garment-scenes'
title = "MSBReg's three forces on garment scenes (the paper's Table 8)"
question = 'Do more views help, do L_s and L_b help, and do they help more together?'

byol = '../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'
base = '../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
# BYOL's loss is a sum over two directions and MSBReg's a mean over views: doubled weights keep the ratio.
singular = dict(type='lewel_plugins.SingularValueLoss', weight=2 * 4e-3)
brownian = dict(type='lewel_plugins.BrownianLoss', weight=2 * 0.5)
halves = 'K = 2, without the own target'
hook = dict(type='lewel_plugins.RegularizerHook', module='head.predictor')
rows = [
    dict(name='BYOL', config=byol),
    dict(name='BYOL + L_s', config=byol, options={'custom_hooks': [dict(hook, regularizers=[singular])]}),
    dict(name='BYOL + L_b', config=byol, options={'custom_hooks': [dict(hook, regularizers=[brownian])]}),
    dict(
        name='BYOL + L_s + L_b', config=byol, options={'custom_hooks': [dict(hook, regularizers=[singular, brownian])]}
    ),
    # Differences are to rows whose loss has the same scale: for a number of views to BYOL with half its loss, for an
    # added loss to the row without it.
    *[
        dict(
            name=f'K = {k}{added}', options={'num_views': k, **options}, baseline=f'K = {k}' if added else halves
        )
        for k in (2, 4, 8)
        for added, options in (
            ('', {'model.head.lambda_s': 0.0, 'model.head.lambda_b': 0.0}),
            (' + L_s', {'model.head.lambda_b': 0.0}),
            (' + L_b', {'model.head.lambda_s': 0.0}),
            (' + L_s + L_b', {}),
        )
    ],
    # The centroid includes the view's own target (Eq. 3). With two views and without it, the loss is half of that of
    # BYOL. The rows of BYOL have the full loss.
    *[
        dict(
            name=f'K = {k}, without the own target',
            options={
                'num_views': k,
                'model.head.exclude_self': True,
                'model.head.lambda_s': 0.0,
                'model.head.lambda_b': 0.0,
            },
            baseline=other,
        )
        for k, other in ((2, 'BYOL'), (4, 'K = 4'))
    ],
    # The scale of the loss matters with LARS, too: parameters that start at zero take an unadapted first step.
    dict(name='BYOL, its loss halved', config=byol, options={'model.head.loss.scale_factor': 0.5}),
]
baseline = 'BYOL'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
in100 = '../msbreg/msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
byol_in100 = '../msbreg/byol-k2_resnet18_8xb64-lars-coslr-320e_in100.py'
variants = dict(
    in100=dict(
        title="MSBReg's three forces on ImageNet-100 (Table 8)",
        base=in100,
        # The recipe of BYOL has MSBReg's class, with the full symmetric loss: twice the centroid loss of two views.
        rows={
            **{
                f'BYOL{added}': dict(config=byol_in100, options=options)
                for added, options in (
                    ('', {}),
                    (' + L_s', {'model.head.lambda_s': 2 * 4e-3}),
                    (' + L_b', {'model.head.lambda_b': 2 * 0.5}),
                    (' + L_s + L_b', {'model.head.lambda_s': 2 * 4e-3, 'model.head.lambda_b': 2 * 0.5}),
                )
            },
            **{f'K = 2{added}': None for added in ('', ' + L_s', ' + L_b', ' + L_s + L_b', ', without the own target')},
            'BYOL, its loss halved': None,
        },
        seeds=[0],
    ),
)
del byol, singular, brownian, halves, hook, in100, byol_in100

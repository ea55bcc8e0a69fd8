# MSBReg's Tables 6 and 13: norms in the heads of BYOL. msbreg_norms-k4_garment-scenes.py has those of MSBReg,
# msbreg_norms-24e_garment-scenes.py a longer training. 6 rows × 3 seeds.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_norms_garment-scenes'
title = "BN, LN and weight standardization in BYOL's heads on garment scenes (the paper's Tables 6 and 13)"
question = (
    'Does BYOL collapse with LN in its heads, and does L_b keep it from that? See RankMe and std, of backbone and '
    'embeddings.'
)

byol = '../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'
two = '../msbreg/msbreg-k2_resnet10_1xb64-24e_garment-scenes.py'
ln = {'model.neck.norm_cfg.type': 'LN', 'model.head.predictor.norm_cfg.type': 'LN'}
# Doubled, because BYOL's loss is a sum over two directions and MSBReg's a mean over views.
brownian = dict(type='lewel_plugins.BrownianLoss', weight=2 * 5e-3)
strong = dict(type='lewel_plugins.BrownianLoss', weight=2 * 0.5)
singular = dict(type='lewel_plugins.SingularValueLoss', weight=2 * 4e-3)
hook = dict(type='lewel_plugins.RegularizerHook', module='head.predictor', regularizers=[brownian])
# MSBReg's class set up as BYOL, because mmpretrain's heads have no weight standardization.
as_byol = {
    'model.head.lambda_c': 2.0,
    'model.head.exclude_self': True,
    'model.head.lambda_s': 0.0,
    'model.head.lambda_b': 0.0,
}
rows = [
    dict(name='BYOL, BN', config=byol),
    dict(name='BYOL, LN', config=byol, options=ln),
    dict(name='BYOL, LN + L_b 5e-3', config=byol, options={**ln, 'custom_hooks': [hook]}),
    # Is the weight of L_b the reason, or is L_s needed?
    dict(name='BYOL, LN + L_b 0.5', config=byol, options={**ln, 'custom_hooks': [dict(hook, regularizers=[strong])]}),
    dict(name='BYOL, LN + L_s', config=byol, options={**ln, 'custom_hooks': [dict(hook, regularizers=[singular])]}),
    dict(
        name='BYOL, LN + WS', config=two, options={**as_byol, 'model.neck.norm': 'LN', 'model.neck.standardize': True}
    ),
]
baseline = 'BYOL, BN'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
    dict(key='rank_me', label='RankMe of embeddings', digits=1),
    dict(key='std', label='std of embeddings', digits=3),
]
bn = '../msbreg/byol-k2_resnet18_1xb256-lars-coslr-320e_stl10.py'
ln_recipe = '../msbreg/byol-k2-ln_resnet18_1xb256-lars-coslr-320e_stl10.py'
variants = dict(
    stl10=dict(
        title="BN, LN and weight standardization in BYOL's heads on STL-10 (Tables 6 and 13)",
        # The recipes of BYOL have MSBReg's class, with twice the centroid loss of two views: doubled weights.
        rows={
            'BYOL, BN': dict(config=bn),
            'BYOL, LN': dict(config=ln_recipe, options={}),
            'BYOL, LN + L_b 5e-3': dict(config=ln_recipe, options={'model.head.lambda_b': 2 * 5e-3}),
            'BYOL, LN + L_b 0.5': dict(config=ln_recipe, options={'model.head.lambda_b': 2 * 0.5}),
            'BYOL, LN + L_s': dict(config=ln_recipe, options={'model.head.lambda_s': 2 * 4e-3}),
            'BYOL, LN + WS': dict(config=ln_recipe, options={'model.neck.standardize': True}),
        },
        seeds=[0],
    ),
)
del byol, two, ln, brownian, strong, singular, hook, as_byol, bn, ln_recipe

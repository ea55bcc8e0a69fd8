# L_s + L_b on other methods, which need no change. 2 rows per method × 3 seeds. For another method, set its config and
# the dotted name of its predictor, or `neck` if it has none.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_regularizers_garment-scenes'
title = "MSBReg's L_s and L_b on other methods on garment scenes"
question = 'Do L_s and L_b help methods that they were not made for? k-NN and RankMe, with and without.'

singular = dict(type='lewel_plugins.SingularValueLoss', weight=4e-3)
brownian = dict(type='lewel_plugins.BrownianLoss', weight=0.5)
# Name, config, module, and the factor of the weights, which is 2 where the loss is a sum over two directions.
methods = [
    ('LEWEL_B', '../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py', 'head.q', 2),
    ('SMoG', '../smog/smog_resnet10_1xb64-24e_garment-scenes.py', 'head.predictor', 1),
    ('MPCL on MoCo v2', '../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py', 'neck', 1),
]
rows = []
for method, config, module, factor in methods:
    losses = [dict(loss, weight=factor * loss['weight']) for loss in (singular, brownian)]
    # default_hooks, because the method has custom_hooks of its own.
    hook = dict(type='lewel_plugins.RegularizerHook', module=module, regularizers=losses)
    rows += [
        dict(name=method, config=config),
        dict(
            name=f'{method} + L_s + L_b',
            config=config,
            options={'default_hooks': dict(regularizer=hook)},
            baseline=method,
        ),
    ]
baseline = 'LEWEL_B'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
del singular, brownian, methods, method, config, module, factor, losses, hook

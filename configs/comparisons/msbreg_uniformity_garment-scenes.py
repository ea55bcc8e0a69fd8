# MSBReg's Table 12: alignment and uniformity. msbreg_uniformity-24e_garment-scenes.py is a longer training. 4 rows × 3
# seeds.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_uniformity_garment-scenes'
title = "Alignment and uniformity of MSBReg on garment scenes (the paper's Table 12)"
question = (
    'Is MSBReg more uniform and less aligned than BYOL, and better? Alignment and uniformity: of the embeddings of a '
    'training batch.'
)

byol = '../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'
# BYOL's loss is a sum over two directions and MSBReg's a mean over views: doubled weights keep the ratio.
singular = dict(type='lewel_plugins.SingularValueLoss', weight=2 * 4e-3)
brownian = dict(type='lewel_plugins.BrownianLoss', weight=2 * 0.5)
uniformity = dict(type='lewel_plugins.UniformityLoss', weight=2 * 1.0)
hook = dict(type='lewel_plugins.RegularizerHook', module='head.predictor')
rows = [
    dict(name='BYOL', config=byol),
    dict(name='BYOL + L_uniform', config=byol, options={'custom_hooks': [dict(hook, regularizers=[uniformity])]}),
    dict(
        name='BYOL + L_s + L_b', config=byol, options={'custom_hooks': [dict(hook, regularizers=[singular, brownian])]}
    ),
    dict(name='MSBReg, K = 4', config='../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'),
]
baseline = 'BYOL'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
    dict(key='alignment', digits=3),
    dict(key='uniformity', digits=2),
    dict(key='representation/uniformity', label='uniformity of the backbone', digits=2),
]
del byol, singular, brownian, uniformity, hook

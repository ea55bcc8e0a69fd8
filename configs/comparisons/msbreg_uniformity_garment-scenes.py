# MSBReg's Table 12: alignment and uniformity. msbreg_uniformity-24e_garment-scenes.py is a longer training. 4 rows × 3
# seeds. Rows are options of the base. In the paper, the base is
# ../msbreg/msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py. In the results in docs/results, BYOL is that of mmpretrain,
# with two kinds of views.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_uniformity_garment-scenes'
title = "Alignment and uniformity of MSBReg on garment scenes (the paper's Table 12)"
question = (
    'Is MSBReg more uniform and less aligned than BYOL, and better? Alignment and uniformity: of the embeddings of a '
    'training batch.'
)

base = '../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
# BYOL's symmetric loss, with the views of MSBReg, as K = 2 is "the same as BYOL setting" (Sec. 10). It is a sum over two
# directions, and twice a mean over views: doubled weights keep the ratio.
byol = {
    'num_views': 2,
    'model.head.lambda_c': 2.0,
    'model.head.exclude_self': True,
    'model.head.lambda_s': 0.0,
    'model.head.lambda_b': 0.0,
}
hook = dict(
    type='lewel_plugins.RegularizerHook',
    module='head.predictor',
    regularizers=[dict(type='lewel_plugins.UniformityLoss', weight=2 * 1.0)],
)
rows = [
    dict(name='BYOL', options=byol),
    dict(name='BYOL + L_uniform', options={**byol, 'default_hooks.regularizer': hook}),
    dict(name='BYOL + L_s + L_b', options={**byol, 'model.head.lambda_s': 2 * 4e-3, 'model.head.lambda_b': 2 * 0.5}),
    dict(name='MSBReg, K = 4'),
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
variants = dict(
    in100=dict(
        title='Alignment and uniformity of MSBReg on ImageNet-100 (Table 12)',
        base='../msbreg/msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py',
        seeds=[0],
    ),
)
del byol, hook

# MSBReg's Table 11 at K = 4, and two switches of ours: 22 rows × 3 seeds. msbreg_weights-k2_garment-scenes.py and
# msbreg_weights-k8_garment-scenes.py have the other K. Rows are options of the base. In the paper, the base is
# ../msbreg/msbreg-k4_resnet18_8xb64-lars-coslr-300e_in100.py.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'msbreg_weights_garment-scenes'
title = "MSBReg's weights, K = 4, on garment scenes (of the paper's Table 11)"
question = 'Which weights of L_s and L_b are best, and how wide is the optimum?'

base = '../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    *[
        dict(name=f'λ_s {s:g}, λ_b {b:g}', options={'model.head.lambda_s': s, 'model.head.lambda_b': b})
        for s in (0.0, 2e-3, 4e-3, 1e-2)
        for b in (0.0, 0.25, 0.5, 1.0, 2.0)
    ],
    dict(name='without the own target', options={'model.head.exclude_self': True}),
    dict(name='L_s on unit vectors', options={'model.head.normalize': True}),
]
baseline = 'λ_s 0.004, λ_b 0.5'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
variants = dict(
    in100=dict(
        title="MSBReg's weights, K = 4, on ImageNet-100 (Table 11)",
        base='../msbreg/msbreg-k4_resnet18_8xb64-lars-coslr-300e_in100.py',
        seeds=[0],
    ),
)

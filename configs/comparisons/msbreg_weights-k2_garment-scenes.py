# MSBReg's Table 11 at K = 2, which is BYOL: 20 rows × 3 seeds.
_base_ = './msbreg_weights_garment-scenes.py'
name = 'msbreg_weights-k2_garment-scenes'
title = "MSBReg's weights, K = 2, on garment scenes (of the paper's Table 11)"
# The loss is that of BYOL, a sum over two directions and twice a mean over views: doubled weights keep the ratio.
byol = {'num_views': 2, 'model.head.exclude_self': True, 'model.head.lambda_c': 2.0}
rows = [
    dict(name=row.name, options={**byol, **{weight: 2 * value for weight, value in row.options.items()}})
    for row in _base_.rows[:20]
]
variants = dict(in100=dict(title="MSBReg's weights, K = 2, on ImageNet-100 (Table 11)"))
del byol

# MSBReg's Table 11 at K = 8: 20 rows × 3 seeds.
_base_ = './msbreg_weights_garment-scenes.py'
name = 'msbreg_weights-k8_garment-scenes'
title = "MSBReg's weights, K = 8, on garment scenes (of the paper's Table 11)"
rows = [dict(name=row.name, options={**row.options, 'num_views': 8}) for row in _base_.rows[:20]]
variants = dict(in100=dict(title="MSBReg's weights, K = 8, on ImageNet-100 (Table 11)"))

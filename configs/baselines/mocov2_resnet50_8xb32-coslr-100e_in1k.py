# MoCo v2 by the recipe of LEWEL_M, 100 epochs: LEWEL_M's global loss alone.
_base_ = '../lewel/lewel-m_resnet50_8xb32-coslr-100e_in1k.py'
model = dict(
    neck=dict(coupled=False, alignment='uniform', num_groups=128),  # p embeds the pooled feature, once
    head=dict(beta=0.0),
)

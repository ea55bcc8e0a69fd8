# MoCo v2 by the recipe of LEWEL_M in the ablations on ImageNet-100: LEWEL_M's global loss alone.
_base_ = '../lewel/lewel-m_resnet50_8xb32-coslr-240e_in100.py'
model = dict(
    neck=dict(coupled=False, alignment='uniform', num_groups=128),  # p embeds the pooled feature, once
    head=dict(beta=0.0),
)

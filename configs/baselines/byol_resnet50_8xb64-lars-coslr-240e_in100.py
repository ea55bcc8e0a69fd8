# BYOL by the recipe of LEWEL_B in the ablations on ImageNet-100: LEWEL_B's global loss alone.
_base_ = '../lewel/lewel-b_resnet50_8xb64-lars-coslr-240e_in100.py'
model = dict(
    neck=dict(coupled=False, alignment='uniform', num_groups=256),  # p embeds the pooled feature, once
    head=dict(beta=0.0),
)

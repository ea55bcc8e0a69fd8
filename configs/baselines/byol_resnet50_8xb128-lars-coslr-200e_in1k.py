# BYOL by the released recipe of LEWEL_B, 200 epochs: LEWEL_B's global loss alone, with its EMAN teacher.
_base_ = '../lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py'
model = dict(
    neck=dict(coupled=False, alignment='uniform', num_groups=256),  # p embeds the pooled feature, once
    head=dict(beta=0.0),
)

# BYOL with LayerNorm in its heads, batch 256, which collapses in the paper (Tables 6 and 13). With L_b, which keeps it from
# that: model.head.lambda_b=1e-2, which is twice the paper's 5e-3, as BYOL's loss is twice the mean over views.
_base_ = './byol-k2_resnet18_1xb256-lars-coslr-320e_stl10.py'
model = dict(neck=dict(norm='LN'))

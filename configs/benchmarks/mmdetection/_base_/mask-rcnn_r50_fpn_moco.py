# ResNet-50-FPN as in MoCo's transfer protocol (He et al., CVPR 2020): all layers are trained, with SyncBN in the
# backbone and in the FPN. The papers here do not print whether the heads have norms, too: as in mmdet, they have none.
# (mmpretrain's benchmark of BYOL has SyncBN and four convolutions there.)
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py']
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(norm_cfg=norm_cfg),
)

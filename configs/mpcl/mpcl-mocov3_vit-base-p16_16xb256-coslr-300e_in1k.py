# mmpretrain's MoCo v3 recipe for ViT-B: as for ViT-S.
_base_ = './mpcl-mocov3_vit-small-p16_16xb256-coslr-300e_in1k.py'
model = dict(backbone=dict(arch='base'), neck=dict(in_channels=768))

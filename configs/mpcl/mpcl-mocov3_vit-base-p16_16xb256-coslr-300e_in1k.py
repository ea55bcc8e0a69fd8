# MPCL on MoCo v3 by mmpretrain's recipe for ViT-B, which differs from that for ViT-S only in the backbone.
_base_ = './mpcl-mocov3_vit-small-p16_16xb256-coslr-300e_in1k.py'
model = dict(backbone=dict(arch='base'), neck=dict(in_channels=768))

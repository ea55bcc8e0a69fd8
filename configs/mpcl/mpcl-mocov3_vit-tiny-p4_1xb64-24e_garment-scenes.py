# MPCL on MoCo v3 on garment scenes: a ViT with two layers of width 64 on patches of 4 px.
_base_ = [
    '../_base_/models/mpcl-mocov3_vit-small-p16.py',
    '../_base_/datasets/garment-scenes_32px.py',
    '../_base_/garment-scenes_24e.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='MoCoV3ViT',
        arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128),
        img_size=32,
        patch_size=4,
        stop_grad_conv1=True,
    ),
    neck=dict(in_channels=64, hid_channels=128, out_channels=64),
    head=dict(predictor=dict(hid_channels=128)),
)

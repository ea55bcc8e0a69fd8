# MoCo v3 on garment scenes, with MPCL's ViT of two layers and three-layer projectors, as in MoCo v3 on transformers.
_base_ = './mocov3_resnet10_1xb64-24e_garment-scenes.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MoCoV3ViT',
        arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128),
        img_size=32,
        patch_size=4,
        stop_grad_conv1=True,
    ),
    neck=dict(in_channels=64, num_layers=3, with_avg_pool=False),
    head=dict(predictor=dict(with_last_bn=True)),
)

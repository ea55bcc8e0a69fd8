# MPCL on MoCo v3, ViT-B on ImageNet-100, batch 2048, 300 epochs (Table VII).
_base_ = './mpcl-mocov3_vit-base-p16_16xb256-coslr-300e_in100.py'
optim_wrapper = dict(optimizer=dict(lr=1.2e-3))  # MoCo v3's 2.4e-3 for 4,096 images, in proportion
auto_scale_lr = dict(base_batch_size=2048)

# MPCL Table VII at batch 2048; MoCo v3's rate in proportion.
_base_ = './mpcl-mocov3_vit-base-p16_16xb256-coslr-300e_in100.py'
optim_wrapper = dict(optimizer=dict(lr=1.2e-3))
auto_scale_lr = dict(base_batch_size=2048)

# MPCL Table VII: ViT-B on ImageNet-100, batch 4096, 300 epochs; the rate is MoCo v3's, the paper gives none.
_base_ = [
    '../_base_/models/mpcl-mocov3_vit-small-p16.py',
    '../_base_/datasets/in100_bs64_byol.py',
    '../_base_/schedules/adamw_coslr-300e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(arch='base'), neck=dict(in_channels=768))
sync_bn = 'torch'  # converts every BN when there is more than one process
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=4096)

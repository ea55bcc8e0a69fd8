# mmpretrain's MoCo v3 recipe for ViT-S: AdamW, batch 4096, lr 2.4e-3, 300 epochs, crops from 0.08, SyncBN in the heads.
_base_ = [
    '../_base_/models/mpcl-mocov3_vit-small-p16.py',
    '../_base_/datasets/in1k_bs64_byol.py',
    '../_base_/schedules/adamw_coslr-300e.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # converts every BN when there is more than one process
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=4096)

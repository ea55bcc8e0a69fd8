# mmpretrain's MoCo v3 recipe for ResNet-50 (the paper has MPCL on ViT-B only): LARS, batch 4096, lr 4.8, SyncBN.
_base_ = [
    '../_base_/models/mpcl-mocov3_resnet50.py',
    '../_base_/datasets/in1k_bs128_byol.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # converts every BN when there is more than one process
train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=4.8, weight_decay=1e-6))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=290, by_epoch=True, begin=10, end=300, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=300)
auto_scale_lr = dict(base_batch_size=4096)

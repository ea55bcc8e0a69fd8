# LEWEL_B, the authors' released recipe for 400 epochs: SyncBN in both networks, alpha from 0.996.
_base_ = './lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py'
model = dict(momentum=0.004, teacher_norm='train')
sync_bn = 'torch'  # converts all BN layers when there is more than one process
train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=7.2, weight_decay=1e-6))  # released recipe, 4,096 images
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=390, by_epoch=True, begin=10, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)
auto_scale_lr = dict(base_batch_size=4096)

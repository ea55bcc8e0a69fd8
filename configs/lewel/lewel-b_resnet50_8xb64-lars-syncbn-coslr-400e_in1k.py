# LEWEL_B (Sec. 3.3), 400 epochs: SyncBN in both networks, alpha from 0.996 as in BYOL.
_base_ = './lewel-b_resnet50_8xb64-lars-coslr-200e_in1k.py'
model = dict(momentum=0.004, teacher_norm='train')
sync_bn = 'torch'  # converts all BN layers when there is more than one process
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=390, by_epoch=True, begin=10, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400)

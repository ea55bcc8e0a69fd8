# BYOL with LEWEL_B's released recipe.
_base_ = [
    '../_base_/models/byol_resnet50.py',
    '../_base_/datasets/in1k_bs128_byol.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
auto_scale_lr = dict(base_batch_size=1024)

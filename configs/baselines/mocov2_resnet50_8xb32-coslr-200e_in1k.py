# MoCo v2 with LEWEL_M's recipe (lr 0.06, as the paper's reproduction).
_base_ = [
    '../_base_/models/mocov2_resnet50.py',
    '../_base_/datasets/in1k_bs32_mocov2.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
auto_scale_lr = dict(base_batch_size=256)

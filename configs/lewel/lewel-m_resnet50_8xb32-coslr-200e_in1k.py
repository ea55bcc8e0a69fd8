# LEWEL Sec. 3.3: SGD, batch 256, lr 0.06, wd 1e-4.
_base_ = [
    '../_base_/models/lewel-m_resnet50.py',
    '../_base_/datasets/in1k_bs32_mocov2.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
auto_scale_lr = dict(base_batch_size=256)

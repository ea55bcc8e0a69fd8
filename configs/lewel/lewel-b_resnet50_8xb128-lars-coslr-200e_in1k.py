# The authors' released recipe: LARS, batch 1024, lr 3.6, wd 1.5e-6, EMAN, 10 warm-up epochs, crops from 0.2.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/in1k_bs128_byol.py',
    '../_base_/schedules/lars_coslr-200e.py',
    '../_base_/default_runtime.py',
]
auto_scale_lr = dict(base_batch_size=1024)

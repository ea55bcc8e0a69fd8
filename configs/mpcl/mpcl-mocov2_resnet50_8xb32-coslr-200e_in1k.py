# MPCL Table IV: MoCo's code with its hyper-parameters, batch 256 (lr 0.03), 200 epochs.
_base_ = [
    '../_base_/models/mpcl-mocov2_resnet50.py',
    '../_base_/datasets/in1k_bs32_mocov2.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(optimizer=dict(lr=0.03))
auto_scale_lr = dict(base_batch_size=256)

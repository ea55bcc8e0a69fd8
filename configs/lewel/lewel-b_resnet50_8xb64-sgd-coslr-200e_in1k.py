# As printed in the paper (Sec. 3.3): SGD, batch 512, lr 1.8, wd 1e-6 but for biases and BN, full BYOL crops.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/in1k_bs64_byol.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=1.8, weight_decay=1e-6),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
auto_scale_lr = dict(base_batch_size=512)

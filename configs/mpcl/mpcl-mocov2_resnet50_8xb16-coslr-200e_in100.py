# MPCL Tables I to III: batch 128, 200 epochs. The paper gives no rate: MoCo's 0.03 for 256, in proportion.
_base_ = [
    '../_base_/models/mpcl-mocov2_resnet50.py',
    '../_base_/datasets/in100_bs32_mocov2.py',
    '../_base_/schedules/sgd_coslr-200e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(optimizer=dict(lr=0.015))
auto_scale_lr = dict(base_batch_size=128)

# MSBReg Sec. 7: STL-10, ResNet-18, heads 512/128, K = 4, batch 512, 320 epochs. lr = 0.5 * 512/256 * K.
_base_ = [
    '../_base_/models/msbreg_resnet50.py',
    '../_base_/datasets/stl10.py',
    '../_base_/views/msbreg_96px.py',
    '../_base_/schedules/lars_coslr-320e.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=512, hid_channels=512, out_channels=128),
    head=dict(hid_channels=512),
)
data_preprocessor = dict(views=[_base_.view] * 4)
train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=4.0, weight_decay=1e-5))
auto_scale_lr = dict(base_batch_size=512)

# LEWEL_B as the paper prints it (Sec. 3.3), with the crops of BYOL (0.08 to 1).
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px_crop008.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=1.8, momentum=0.9, weight_decay=1e-6),  # Sec. 3.3, for 512 images
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),  # Sec. 3.3: none on biases and BN
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=200, by_epoch=True, begin=0, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=512)

# LEWEL_B (Sec. 3.3), 200 epochs: the batch, rate and decay that the paper prints. It prints "SGD" and follows EMAN (Cai
# et al. 2021), whose recipe with these numbers is LARS with 10 epochs of warm-up and crops of 0.2 to 1 of the area.
_base_ = [
    '../_base_/models/lewel-b_resnet50.py',
    '../_base_/datasets/in1k.py',
    '../_base_/views/byol_224px.py',
    '../_base_/default_runtime.py',
]
train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]
train_dataloader = dict(batch_size=64, dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(
    optimizer=dict(type='lewel_plugins.LARS', lr=1.8, momentum=0.9, weight_decay=1e-6),  # Sec. 3.3, for 512 images
    # Sec. 3.3: no decay of biases and BN; EMAN: no adaptation either.
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=190, by_epoch=True, begin=10, end=200, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=200)
auto_scale_lr = dict(base_batch_size=512)

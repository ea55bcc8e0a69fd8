# BYOL for 30 epochs by solo-learn's settings for CIFAR-10, which EMP-SSL (arXiv:2304.03977) names as those of its baselines;
# its linear accuracy after 30 epochs is 68.4 %. Sources:
# [1] the package solo-learn 1.0.2 (MIT): defaults of its options.
# [2] bash_files/pretrain/cifar/byol.sh of its repository, which the package does not contain. These numbers are from memory
#     of the published script, to be checked. EMP-SSL prints no table of the settings of its baselines that is known here.
# Not as there: bfloat16 instead of float16, and crops by bilinear instead of bicubic interpolation.
_base_ = [
    '../_base_/models/byol_resnet50.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/default_runtime.py',
]
model = dict(
    base_momentum=0.01,  # [1] base_tau_momentum=0.99, final_tau_momentum=1, a cosine
    # [1] utils/backbones.py: torchvision's ResNet-18 with a 3 x 3 stem without pooling.
    backbone=dict(
        _delete_=True, type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='BN'), zero_init_residual=False
    ),
    # [2] proj_hidden_dim=4096, pred_hidden_dim=4096, proj_output_dim=256. [1] methods/byol.py: biases in all layers.
    neck=dict(in_channels=512, with_last_bias=True),
    head=dict(predictor=dict(with_last_bias=True)),  # [1] losses/byol.py: 2 - 2 cos, summed as here
)
# [2] jitter 0.4, 0.4, 0.2, 0.1, no blur, solarization 0.2 in the second view. [1] crops of 0.08 to 1, jitter 0.8, gray 0.2.
view = dict(size=32, crop_scale=(0.08, 1.0))
data_preprocessor = dict(views=[view, dict(view, solarize=0.2)])
train_dataloader = dict(batch_size=256, num_workers=4)  # [2] batch_size=256
optim_wrapper = dict(
    # [2] lr=1.0 (for 256 images), weight_decay=1e-5, eta_lars=0.02, grad_clip_lars, exclude_bias_n_norm.
    optimizer=dict(type='lewel_plugins.LARS', lr=1.0, momentum=0.9, weight_decay=1e-5, eta=0.02, clip=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False),
)
# [1] warmup_start_lr=0.003, warmup_epochs=10, min_lr=0, by epoch.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.003, by_epoch=True, begin=0, end=10),
    dict(type='CosineAnnealingLR', T_max=20, by_epoch=True, begin=10, end=30),
]
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=256)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))

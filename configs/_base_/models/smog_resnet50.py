# SMoG Sec. 3.4: heads 2048/128 with BN, 3,000 groups from K-means, tau = 0.1, alpha = 0.999, beta from 1 to 0.99.
model = dict(
    type='lewel_plugins.SMoG',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(
        type='lewel_plugins.ProjectionNeck', in_channels=2048, hid_channels=2048, out_channels=128, out_norm=True
    ),
    head=dict(
        type='lewel_plugins.SMoGHead',
        hid_channels=2048,
        temperature=0.1,
        num_groups=3000,
        beta=1.0,
        end_beta=0.99,
    ),
    momentum=0.001,
)
# The memory figures in the recipes are computed, not measured on a GPU. They count the tensors that autograd keeps under
# bfloat16 autocast, weights, optimizer, and the cache of interval x images x channels x 2 bytes, but no workspace.
# 30,000 groups add 15 MB per copy, with about ten copies in a step.
# Sec. 3.4: groups and teacher are reset every 300 iterations, about an epoch of ImageNet at batch 4096.
custom_hooks = [dict(type='lewel_plugins.SMoGResetHook', interval=300)]

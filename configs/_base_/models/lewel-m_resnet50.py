# LEWEL Sec. 3.3: widths 2048/128, d = c = 128, h = 4, beta = 0.5; MoCo v2's queue, temperature and teacher.
model = dict(
    type='lewel_plugins.LEWELM',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False),
    neck=dict(type='lewel_plugins.LEWELNeck', in_channels=2048, hid_channels=2048, out_channels=128, num_groups=4),
    head=dict(type='lewel_plugins.LEWELContrastHead', beta=0.5, temperature=0.2),
    queue_len=65536,
    momentum=0.001,
)

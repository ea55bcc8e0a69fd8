# LEWEL Sec. 3.3: widths 4096/256, d = c = 256, h = 4, beta = 0.5; EMAN teacher, alpha from 0.98 to 1.
model = dict(
    type='lewel_plugins.LEWELB',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(type='lewel_plugins.LEWELNeck', in_channels=2048, hid_channels=4096, out_channels=256, num_groups=4),
    head=dict(type='lewel_plugins.LEWELPredictHead', hid_channels=4096, beta=0.5),
    momentum=0.02,
    teacher_norm='eman',
)

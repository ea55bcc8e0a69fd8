# MSBReg Sec. 3.2 and 7.2: heads 2048/256, lambda_s = 4e-3, lambda_b = 0.5, BYOL's teacher, alpha from 0.996 to 1.
# With LayerNorm in both heads: model.neck.norm=LN; with weight standardization: model.neck.standardize=True.
model = dict(
    type='lewel_plugins.MSBReg',
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=True),
    neck=dict(type='lewel_plugins.ProjectionNeck', in_channels=2048, hid_channels=2048, out_channels=256),
    head=dict(type='lewel_plugins.MSBRegHead', hid_channels=2048, lambda_s=4e-3, lambda_b=0.5),
    momentum=0.004,
)

# Tables 6 and 13: LayerNorm in the heads, batch 256; lambda_b = 5e-3 was best of 5e-4, 5e-3, 5e-2. BYOL with LayerNorm,
# which collapses in the paper: model.lambda_s=0 model.lambda_b=0 model.exclude_self=True
# data_preprocessor.views="[dict(size=96, crop_scale=(0.2, 1.0), blur=1.0, solarize=0.2)] * 2" and half of the lr.
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10.py'
model = dict(neck=dict(norm='LN'), lambda_b=5e-3)
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=2.0))
auto_scale_lr = dict(base_batch_size=256)

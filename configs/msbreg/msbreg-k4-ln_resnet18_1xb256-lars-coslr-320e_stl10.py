# "Ours" with LayerNorm in the heads, batch 256 (Tables 6 and 13): model.head.lambda_b = 5e-4, 5e-3 (best), 5e-2.
# With batch norm: model.neck.norm=BN model.head.lambda_b=5e-2. The tables do not print K: 4 is our choice.
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10.py'
model = dict(neck=dict(norm='LN'), head=dict(lambda_b=5e-3))
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 256 / 256 * _base_.num_views))  # Sec. 7.1
auto_scale_lr = dict(base_batch_size=256)

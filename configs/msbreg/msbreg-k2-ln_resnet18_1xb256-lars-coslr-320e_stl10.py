# BYOL, here with half its loss, with LayerNorm in the heads, which collapses in the paper (Tables 6 and 13).
# With L_b: model.head.lambda_b=5e-3. With batch norm: model.neck.norm=BN. Batch 1024: train_dataloader.batch_size=1024
# --auto-scale-lr
_base_ = './msbreg-k4-ln_resnet18_1xb256-lars-coslr-320e_stl10.py'
model = dict(head=dict(exclude_self=True, lambda_s=0.0, lambda_b=0.0))
data_preprocessor = dict(views=[_base_.view] * 2)
optim_wrapper = dict(optimizer=dict(lr=1.0))  # Sec. 7.1: 0.5 x 256 / 256 x K

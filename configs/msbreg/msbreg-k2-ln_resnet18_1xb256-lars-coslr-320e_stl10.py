# Tables 6 and 13, BYOL (here its loss by halves) with LayerNorm in the heads, which collapses in the paper. With L_b:
# model.head.lambda_b=5e-3. With batch norm: model.neck.norm=BN. Batch 1024: train_dataloader.batch_size=1024 --auto-scale-lr
_base_ = './msbreg-k4-ln_resnet18_1xb256-lars-coslr-320e_stl10.py'
model = dict(head=dict(exclude_self=True, lambda_s=0.0, lambda_b=0.0))
data_preprocessor = dict(views=[_base_.view] * 2)
optim_wrapper = dict(optimizer=dict(lr=1.0))

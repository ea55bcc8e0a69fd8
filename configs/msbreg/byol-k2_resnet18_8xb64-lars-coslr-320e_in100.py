# BYOL on ImageNet-100 with the optimizer, heads and views of MSBReg, K = 2 (Table 1).
_base_ = './msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
num_views = 2
# BYOL's symmetric loss is twice the centroid loss of two views without the own target.
model = dict(head=dict(lambda_c=2.0, exclude_self=True, lambda_s=0.0, lambda_b=0.0))
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[_base_.view], num_views=num_views),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 512 / 256 * num_views))  # Sec. 7.1

# MSBReg on ImageNet-100, K = 8 (Table 1).
_base_ = './msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
num_views = 8
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[_base_.view], num_views=num_views),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 512 / 256 * num_views))  # Sec. 7.1

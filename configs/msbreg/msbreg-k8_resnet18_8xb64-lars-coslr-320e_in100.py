# MSBReg on ImageNet-100, K = 8 (Table 1).
_base_ = './msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[_base_.view], num_views=8),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=6.4))  # Sec. 7.1: 0.4 x 512 / 256 x K

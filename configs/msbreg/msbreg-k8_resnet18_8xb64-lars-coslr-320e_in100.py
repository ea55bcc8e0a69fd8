# MSBReg on ImageNet-100 with K = 8: the learning rate grows with K.
_base_ = './msbreg-k4_resnet18_8xb64-lars-coslr-320e_in100.py'
train_pipeline = [
    dict(type='lewel_plugins.LoadViews', views=[_base_.view], num_views=8),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=6.4))

# MSBReg on STL-10 with K = 8: the learning rate grows with K.
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10.py'
data_preprocessor = dict(views=[_base_.view] * 8)
optim_wrapper = dict(optimizer=dict(lr=8.0))

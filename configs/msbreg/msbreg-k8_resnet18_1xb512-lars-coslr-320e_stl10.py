# MSBReg on STL-10, K = 8 (Table 1).
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10.py'
data_preprocessor = dict(views=[_base_.view] * 8)
optim_wrapper = dict(optimizer=dict(lr=8.0))  # Sec. 7.1: 0.5 x 512 / 256 x K

# MSBReg on STL-10 at 64 px, K = 8.
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10-64px.py'
num_views = 8
data_preprocessor = dict(views=[_base_.view] * num_views)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 512 / 256 * num_views))  # Sec. 7.1

# BYOL on STL-10 at 64 px with the optimizer, heads and views of MSBReg, K = 2.
_base_ = './msbreg-k4_resnet18_1xb512-lars-coslr-320e_stl10-64px.py'
num_views = 2
# BYOL's symmetric loss is twice the centroid loss of two views without the own target.
model = dict(head=dict(lambda_c=2.0, exclude_self=True, lambda_s=0.0, lambda_b=0.0))
data_preprocessor = dict(views=[_base_.view] * num_views)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 512 / 256 * num_views))  # Sec. 7.1

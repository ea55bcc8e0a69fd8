# BYOL on STL-10, batch 256, the first row of Tables 6 and 13, whose figure is also that of Table 1.
_base_ = './byol-k2_resnet18_1xb512-lars-coslr-320e_stl10.py'
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 256 / 256 * _base_.num_views))  # Sec. 7.1
auto_scale_lr = dict(base_batch_size=256)

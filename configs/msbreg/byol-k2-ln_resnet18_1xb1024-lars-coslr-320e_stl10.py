# BYOL with LayerNorm in its heads, batch 1024, which collapses in the paper, too (Tables 6 and 13).
_base_ = './byol-k2-ln_resnet18_1xb256-lars-coslr-320e_stl10.py'
train_dataloader = dict(batch_size=1024)
optim_wrapper = dict(optimizer=dict(lr=_base_.base_lr * 1024 / 256 * _base_.num_views))  # Sec. 7.1
auto_scale_lr = dict(base_batch_size=1024)

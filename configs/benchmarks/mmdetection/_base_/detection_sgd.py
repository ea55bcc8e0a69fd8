# What the ResNet-50 recipes share: schedules in steps, batches of 16 images.
_base_ = './detection_runtime.py'
train_cfg = dict(type='IterBasedTrainLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(by_epoch=False, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)

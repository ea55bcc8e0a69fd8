# Of the R50 recipes, which count steps: SGD at 0.02 for 16 images; no weight decay on norms, as detectron2 has it.
_base_ = './detection_runtime.py'
train_cfg = dict(type='IterBasedTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(by_epoch=False, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)

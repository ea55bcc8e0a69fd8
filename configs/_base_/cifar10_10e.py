# Runtime and schedule of the small recipes on CIFAR-10: minutes on one core. All methods share the optimizer and the
# schedule. docs/results has the learning rates that were searched for each.
_base_ = './default_runtime.py'

max_epochs = 10
optim_wrapper = dict(
    _delete_=True,  # float32
    type='OptimWrapper',
    constructor='lewel_plugins.TypedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, begin=0, end=max_epochs, convert_to_iter_based=True
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
auto_scale_lr = dict(base_batch_size=128)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))

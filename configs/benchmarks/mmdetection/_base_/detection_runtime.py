# All tensors of the backbone come from the checkpoint; otherwise the training stops and lists what is missing. The only
# new layer is the batch norm that a C4 detector adds after the last stage.
_base_ = ['mmdet::_base_/default_runtime.py']
custom_hooks = [dict(type='lewel_plugins.StrictPretrainedHook', new_layers=['norm'], priority='VERY_HIGH')]
# SGD at 0.02, without weight decay on norms, as in detectron2.
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)

# Every tensor of the backbone comes from the checkpoint, or the training stops and lists what is missing; new is only the
# batch norm that a C4 detector adds after the last stage.
_base_ = ['mmdet::_base_/default_runtime.py']
custom_hooks = [dict(type='lewel_plugins.StrictPretrainedHook', new_layers=['norm'], priority='VERY_HIGH')]
# SGD at 0.02; no weight decay on norms, as detectron2 has it.
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)

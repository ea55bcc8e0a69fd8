# Every tensor of the backbone comes from the checkpoint, or the training stops and lists what is missing; new is only the
# batch norm that a C4 detector adds after the last stage.
_base_ = ['mmdet::_base_/default_runtime.py']
custom_hooks = [dict(type='lewel_plugins.StrictPretrainedHook', new_layers=['norm'], priority='VERY_HIGH')]

# Every tensor of the backbone comes from the checkpoint, or the training stops and lists what is missing.
_base_ = ['mmdet::_base_/default_runtime.py']
custom_hooks = [dict(type='lewel_plugins.StrictPretrainedHook', priority='VERY_HIGH')]

# mmdet's 1x; no weight decay on norms, as detectron2 has it.
_base_ = ['mmdet::_base_/schedules/schedule_1x.py']
optim_wrapper = dict(paramwise_cfg=dict(norm_decay_mult=0.0))

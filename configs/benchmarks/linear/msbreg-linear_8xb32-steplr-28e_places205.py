# MSBReg's linear evaluation on Places205 (Sec. 8.4).
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/places205_cls.py',
    '../../_base_/schedules/linear_sgd_steplr-28e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=205))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)

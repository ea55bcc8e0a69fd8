# LEWEL_M's linear evaluation (Sec. 4.1) on STL-10.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/stl10_cls.py',
    '../../_base_/schedules/linear_lars_coslr-90e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=4096)
auto_scale_lr = dict(base_batch_size=4096)

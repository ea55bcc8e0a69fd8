# LEWEL_B's linear evaluation (Sec. 4.1) on garment scenes, without augmentation.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/garment-scenes_cls.py',
    '../../_base_/schedules/linear_sgd_steplr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=256)

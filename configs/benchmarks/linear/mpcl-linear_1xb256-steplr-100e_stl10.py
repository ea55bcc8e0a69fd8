# Linear evaluation of MPCL on MoCo v2 on STL-10, by the protocol of MoCo.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/stl10_cls.py',
    '../../_base_/schedules/linear_sgd_steplr-100e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=256)

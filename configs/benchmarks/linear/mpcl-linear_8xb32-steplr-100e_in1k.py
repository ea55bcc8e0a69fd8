# Linear evaluation of MPCL on MoCo v2 on ImageNet, by the protocol of MoCo.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k_cls.py',
    '../../_base_/schedules/linear_sgd_steplr-100e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=1000))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)

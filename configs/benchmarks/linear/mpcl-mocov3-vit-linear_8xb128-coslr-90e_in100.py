# Linear evaluation of MPCL's ViTs on ImageNet-100, by the protocol of MoCo v3 for ViTs.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in100_cls.py',
    '../../_base_/schedules/linear_sgd_coslr-90e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=100))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=12.0))
auto_scale_lr = dict(base_batch_size=1024)

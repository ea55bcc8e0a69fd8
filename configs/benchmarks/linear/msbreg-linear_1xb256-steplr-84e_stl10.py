# MSBReg's linear evaluation on STL-10 (Sec. 8.1). The paper prints no numbers. Those of Sec. 8.4 for iNaturalist 2018
# (84 epochs, for the smaller of its two data sets) are our choice.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/stl10_cls.py',
    '../../_base_/schedules/linear_sgd_steplr-84e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=256)

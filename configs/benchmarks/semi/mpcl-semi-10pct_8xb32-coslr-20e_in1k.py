# MPCL Sec. IV, 10 % of ImageNet, by the recipe of Barlow Twins. The paper points to the code of Barlow Twins (footnote
# 2), which trains for 20 epochs with a cosine, and prints no numbers. Batch 256, head 0.5 and backbone 0.002 are our
# choice.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-10pct_cls.py',
    '../../_base_/schedules/semi_sgd_coslr-20e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)

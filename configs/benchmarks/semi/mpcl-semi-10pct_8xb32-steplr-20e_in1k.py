# MPCL Sec. IV, 10 % of ImageNet, by the recipe of Barlow Twins. The paper points to the code of Barlow Twins (footnote
# 2) and prints no numbers. The 20 epochs of that recipe are certain; batch 256, head 0.5, backbone 0.002 and a fifth at
# epochs 12 and 16 are as we remember Barlow Twins' paper (Zbontar et al. 2021, Appendix), not checked against it.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-10pct_cls.py',
    '../../_base_/schedules/semi_sgd_steplr-20e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=256)

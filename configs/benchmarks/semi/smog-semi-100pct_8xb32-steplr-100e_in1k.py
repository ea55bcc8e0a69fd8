# SMoG Sec. 4.2, 100 % of ImageNet, by SimCLR's protocol (Chen et al. 2020, Appendix B.5): Nesterov, batch 4,096, lr 0.8 for
# all, no weight decay, 30 epochs. SimCLR has no 100 %: the epochs are those of 10 %.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k_cls.py',
    '../../_base_/schedules/semi_nesterov_constlr.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=512)
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=4096)

# SMoG Sec. 4.2, 1 % of ImageNet, by the recipe of SimCLR (Chen et al. 2020). The paper prints no numbers. Those of
# SimCLR are as we remember its Appendix B.5, not checked against it: Nesterov, batch 4,096, lr 0.8 for head and
# backbone, no weight decay, 60 epochs. It prints no schedule: a constant rate is our choice.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-1pct_cls.py',
    '../../_base_/schedules/semi_nesterov_constlr.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=512)
train_cfg = dict(max_epochs=60)
auto_scale_lr = dict(base_batch_size=4096)

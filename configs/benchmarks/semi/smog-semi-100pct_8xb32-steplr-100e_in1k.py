# SMoG Sec. 4.2, 100 % of ImageNet, fine-tuned "under the standard training recipe": mmpretrain's recipe for ResNet-50,
# its configs/resnet/resnet50_8xb32_in1k.py, with one rate for head and backbone.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k_cls.py',
    '../../_base_/schedules/semi_sgd.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=1e-4))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[30, 60, 90], gamma=0.1)]
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=256)

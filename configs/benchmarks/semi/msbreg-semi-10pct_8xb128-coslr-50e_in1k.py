# MSBReg Sec. 8.2, 10 % of ImageNet: SGD with Nesterov's momentum of 0.9, batch 1,024, head 0.25, backbone 2.5e-4. For
# the rest it "mainly" follows BYOL and prints no numbers: 50 epochs, cosine and no weight decay are our choice.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-10pct_cls.py',
    '../../_base_/schedules/semi_nesterov_coslr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    optimizer=dict(lr=0.25),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1e-3))),
)
auto_scale_lr = dict(base_batch_size=1024)

# LEWEL Sec. 4.2, 10 % of ImageNet: 50 epochs, head 0.1, backbone 0.01, rates divided by 10 at epochs 30 and 40. The
# paper prints neither batch nor weight decay: 256 images and 1e-4, as in EMAN (Cai et al. 2021), whose protocol it is.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-10pct_cls.py',
    '../../_base_/schedules/semi_sgd_steplr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=False, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(
    optimizer=dict(lr=0.1, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.01 / 0.1))),
)
auto_scale_lr = dict(base_batch_size=256)

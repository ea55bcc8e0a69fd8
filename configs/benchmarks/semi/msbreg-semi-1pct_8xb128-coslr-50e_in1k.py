# MSBReg Sec. 8.2, 1 % of ImageNet: SGD with Nesterov's momentum of 0.9, batch 1,024, head 2.0, backbone frozen. For the
# rest it "mainly" follows BYOL and prints no numbers: 50 epochs, cosine and no weight decay are our choice.
_base_ = [
    '../../_base_/models/pretrained-classifier.py',
    '../../_base_/classification/in1k-1pct_cls.py',
    '../../_base_/schedules/semi_nesterov_coslr-50e.py',
    '../../_base_/classification_runtime.py',
]
model = dict(frozen=True, head=dict(num_classes=1000))
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=2.0))
auto_scale_lr = dict(base_batch_size=1024)

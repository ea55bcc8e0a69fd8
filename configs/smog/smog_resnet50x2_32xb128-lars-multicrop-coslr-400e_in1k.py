# SMoG on ResNet-50 of twice the width (Table 3, whose figures continue those with multi-crop).
# Memory per GPU: 19 GB for the backward pass (152 MB per image), 1.7 GB weights and optimizer, 10 MB cached features.
_base_ = './smog_resnet50_16xb256-lars-multicrop-coslr-400e_in1k.py'
model = dict(backbone=dict(stem_channels=128, base_channels=128), neck=dict(in_channels=4096))
train_dataloader = dict(batch_size=128)

# SMoG on ResNet-50 of four times the width (Table 3, whose figures continue those with multi-crop).
# Memory per GPU: 19 GB for the backward pass (303 MB per image), 6.3 GB weights and optimizer, 5 MB cached features.
_base_ = './smog_resnet50_16xb256-lars-multicrop-coslr-400e_in1k.py'
model = dict(backbone=dict(stem_channels=256, base_channels=256), neck=dict(in_channels=8192))
train_dataloader = dict(batch_size=64)

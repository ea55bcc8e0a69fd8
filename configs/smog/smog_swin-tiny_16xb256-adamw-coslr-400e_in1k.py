# SMoG on Swin-T (Table 2): AdamW, lr 5e-4 x batch / 2048, wd 0.05, the rest as ResNet-50 (Sec. 3.4).
# Memory a GPU: 16 GB kept for the backward pass (62 MB an image), 0.6 GB weights and optimizer, 39 MB cached features.
_base_ = [
    '../_base_/models/smog_swin-tiny.py',
    '../_base_/datasets/in1k_bs128_byol.py',
    '../_base_/schedules/adamw_coslr-400e.py',
    '../_base_/default_runtime.py',
]
sync_bn = 'torch'  # of the heads
train_dataloader = dict(batch_size=256)
auto_scale_lr = dict(base_batch_size=4096)

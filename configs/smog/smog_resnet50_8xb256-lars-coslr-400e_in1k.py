# SMoG, 400 epochs with batch 2048, as Table 1 prints for this length. Memory: half of the recipe with batch 4096.
_base_ = './smog_resnet50_8xb512-lars-coslr-400e_in1k.py'
train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=2.4))  # Sec. 3.4: 0.3 x 2048 / 256
auto_scale_lr = dict(base_batch_size=2048)

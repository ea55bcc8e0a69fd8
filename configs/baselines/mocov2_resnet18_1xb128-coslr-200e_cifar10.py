# MoCo by lightly's benchmark, whose 200-NN is 83.8 %. [1] and [2]: see the base.
# ShuffleBN needs several ranks. In one process, lightly shuffles the keys and takes BN's statistics over eighths of the
# batch instead.
_base_ = ['../_base_/models/mocov2_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    # [2] both directions, 0.5 * (loss_1 + loss_2); each enqueues its keys, so that those of the first are negatives in the
    # second.
    type='lewel_plugins.SymmetricMoCo',
    momentum=0.01,  # [2] update_momentum(…, 0.99)
    queue_len=4096,  # [2] memory_bank_size
    # [2] ResNetGenerator('resnet-18', num_splits=8).
    backbone=dict(_delete_=True, **dict(_base_.backbone, norm_cfg=dict(type='lewel_plugins.SplitBN', num_splits=8))),
    neck=dict(in_channels=512, hid_channels=512),  # [2] MoCoProjectionHead(512, 512, 128)
    head=dict(temperature=0.1),  # [2] NTXentLoss(temperature=0.1)
)

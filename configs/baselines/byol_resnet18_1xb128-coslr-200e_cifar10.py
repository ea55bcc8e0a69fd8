# BYOL by lightly's benchmark, whose 200-NN is 86.9 %. [1] and [2]: see the base.
_base_ = ['../_base_/models/byol_resnet50.py', '../_base_/cifar10_lightly-200e.py']
model = dict(
    # [2] update_momentum(…, m=0.99), constant.
    type='lewel_plugins.ConstantBYOL',
    base_momentum=0.01,
    backbone=dict(_delete_=True, **_base_.backbone),
    # [2] BYOLProjectionHead(512, 1024, 256). [1] models/modules/heads.py: a bias in the last layer only.
    neck=dict(in_channels=512, hid_channels=1024, with_bias=False, with_last_bias=True),
    head=dict(
        # [2] BYOLPredictionHead(256, 1024, 256).
        predictor=dict(hid_channels=1024, with_bias=False, with_last_bias=True),
        # [2] 0.5 * (L(p0, z1) + L(p1, z0)) with [1] loss/negative_cosine_similarity.py; mmpretrain's BYOL has 2 * (…).
        loss=dict(scale_factor=0.25),
    ),
)

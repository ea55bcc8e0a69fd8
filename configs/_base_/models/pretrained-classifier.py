# A linear classifier on the backbone of a checkpoint: --cfg-options model.checkpoint=CKPT. The checkpoint determines
# the backbone. frozen=True: linear evaluation; False: fine-tuning.
model = dict(
    type='lewel_plugins.PretrainedClassifier',
    checkpoint='',
    frozen=True,
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)

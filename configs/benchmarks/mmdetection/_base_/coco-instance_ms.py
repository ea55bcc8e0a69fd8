# COCO, with the shorter side between 640 and 800 pixels in training and at 800 in testing (MPCL Sec. IV-A; in steps of
# 32, as in mmdet's configs/common/ms-90k_coco.py). 16 images per batch on 8 GPUs. The sampler is infinite, because the
# schedules count steps.
_base_ = ['mmdet::_base_/datasets/coco_instance.py']
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomChoiceResize', scales=[(1333, side) for side in range(640, 801, 32)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)

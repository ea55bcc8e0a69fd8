# Linear SVMs on frozen features, trained on VOC07 trainval, mAP on test; tools/benchmarks/voc_svm.py runs it. MSBReg
# Sec. 8.4 prints "a linear support vector machine" and no more. Three folds, shots, draws, the double weight of positives
# and the costs are our choice, after Goyal et al. 2019.
_base_ = ['../../_base_/models/pretrained-classifier.py', '../../_base_/classification_runtime.py']

data_root = 'data/VOCdevkit/VOC2007'
data_preprocessor = dict(
    type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='cv2'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
model = dict(head=dict(num_classes=20))
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOC', data_root=data_root, split='trainval', pipeline=pipeline),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOC', data_root=data_root, split='test', pipeline=pipeline),
)
# The cost for the full set is chosen per class by cross-validation. Few shots are too few for that and share one cost.
svm = dict(
    costs=(1e-3, 1e-2, 1e-1, 0.5, 1.0, 10.0),
    folds=3,
    shots=(1, 2, 4, 8, 16, 32, 64, 96),
    draws=5,
    low_shot_cost=0.5,
    seed=0,
)

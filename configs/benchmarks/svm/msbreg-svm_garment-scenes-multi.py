# VOC07's linear SVMs on garment scenes: tools/data/make_garment_scenes.py --kind multi. The scenes go through the
# network in the size that they have.
_base_ = ['../../_base_/models/pretrained-classifier.py', '../../_base_/classification_runtime.py']

data_root = 'data/garment_scenes_multi/VOC2007'
metainfo = dict(
    classes=['t-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle-boot']
)
data_preprocessor = dict(
    type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)
pipeline = [dict(type='lewel_plugins.LoadRGB'), dict(type='PackInputs')]
model = dict(head=dict(num_classes=10))
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOC', data_root=data_root, split='train', metainfo=metainfo, pipeline=pipeline),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=1,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='VOC', data_root=data_root, split='val', metainfo=metainfo, pipeline=pipeline),
)
# The cost of the full set is chosen a class by cross-validation; few shots are too few for that and have one cost.
svm = dict(
    costs=(1e-3, 1e-2, 1e-1, 0.5, 1.0, 10.0),
    folds=3,
    shots=(1, 2, 4, 8, 16, 32, 64),
    draws=5,
    low_shot_cost=0.5,
    seed=0,
)

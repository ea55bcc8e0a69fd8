# ImageNet-100: the classes of ImageNet that imagenet100.txt lists. data_root is ImageNet's folder.
data_root = 'data/imagenet'
classes_file = '{{ fileDirname }}/imagenet100.txt'
# Jitter, gray, blur, solarization and flip run in the workers, or on the device with
# train_dataloader.dataset.dataset.pipeline.0.on_device=True
data_preprocessor = dict(
    type='lewel_plugins.BatchViews', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)

eval_pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='cv2'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        labels=False,
        dataset=dict(
            type='lewel_plugins.ImageNetSubset', data_root=data_root, split='train', classes_file=classes_file
        ),
    ),
)
# k-NN: the labeled images of the bank classify the images of val_dataloader.
bank_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='lewel_plugins.ImageNetSubset',
        data_root=data_root,
        split='train',
        classes_file=classes_file,
        pipeline=eval_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='lewel_plugins.ImageNetSubset',
        data_root=data_root,
        split='val',
        classes_file=classes_file,
        pipeline=eval_pipeline,
    ),
)
val_cfg = dict(type='lewel_plugins.FeatureValLoop', bank_dataloader=bank_dataloader)
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(5, 20, 200), temperature=0.07),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_dataloader = val_dataloader
test_cfg = dict(type='lewel_plugins.FeatureTestLoop', bank_dataloader=bank_dataloader)
test_evaluator = val_evaluator

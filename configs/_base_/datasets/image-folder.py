# Your own folder of images, with BYOL's views. Set data_root:
#   --cfg-options train_dataloader.dataset.dataset.data_root=/my/images
_base_ = ['../views/byol_224px.py']

# Jitter, gray, blur, solarization and flip run in the workers, or on the device with
# train_dataloader.dataset.dataset.pipeline.0.on_device=True
data_preprocessor = dict(
    type='lewel_plugins.BatchViews', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True
)

train_pipeline = [dict(type='lewel_plugins.LoadViews', views=_base_.views), dict(type='PackInputs')]

train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='lewel_plugins.SeededSampler'),
    dataset=dict(
        type='lewel_plugins.PretrainDataset',
        dataset=dict(type='lewel_plugins.ImageTree', data_root='data/images', pipeline=train_pipeline),
    ),
)
# There is no k-NN without labels. RepresentationMonitorHook logs measures of the features during training.

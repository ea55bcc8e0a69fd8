# ImageNet-100 with labels: the classes of ImageNet that imagenet100.txt lists. data_root is ImageNet's folder.
_base_ = './in1k_cls.py'
classes_file = '{{ fileDirname }}/../datasets/imagenet100.txt'

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='lewel_plugins.ImageNetSubset',
            data_root=_base_.data_root,
            split='train',
            classes_file=classes_file,
            pipeline=_base_.train_pipeline,
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lewel_plugins.ImageNetSubset',
        data_root=_base_.data_root,
        split='val',
        classes_file=classes_file,
        pipeline=_base_.eval_pipeline,
    )
)
test_dataloader = val_dataloader

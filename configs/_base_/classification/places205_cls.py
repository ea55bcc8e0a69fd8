# Places205. data_root contains the images and the lists of `trainvalsplit_places205` (a path and a class per line).
_base_ = './in1k_cls.py'
data_root = 'data/places205'

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='Places205',
            data_root=data_root,
            data_prefix='images256',
            ann_file='train_places205.csv',
            pipeline=_base_.train_pipeline,
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='Places205',
        data_root=data_root,
        data_prefix='images256',
        ann_file='val_places205.csv',
        pipeline=_base_.eval_pipeline,
    )
)
test_dataloader = val_dataloader

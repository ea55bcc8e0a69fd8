# iNaturalist 2018. data_root contains train_val2018/ and its json files.
_base_ = './in1k_cls.py'
data_root = 'data/inat2018'

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='lewel_plugins.INaturalist',
            data_root=data_root,
            ann_file='train2018.json',
            pipeline=_base_.train_pipeline,
        )
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='lewel_plugins.INaturalist',
        data_root=data_root,
        ann_file='val2018.json',
        pipeline=_base_.eval_pipeline,
    )
)
test_dataloader = val_dataloader

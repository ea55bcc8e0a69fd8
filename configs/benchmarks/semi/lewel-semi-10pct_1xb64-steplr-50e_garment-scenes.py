# 10 % of the labels of garment scenes, by the rates of LEWEL Sec. 4.2 for 10 %.
_base_ = './lewel-semi-100pct_1xb64-steplr-50e_garment-scenes.py'
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='lewel_plugins.LabeledSplit',
            dataset=_base_.train_dataloader.dataset.dataset,
            split_file='data/splits/garment-scenes_10pct_seed0.txt',
            fraction=0.1,
            seed=0,
        )
    )
)

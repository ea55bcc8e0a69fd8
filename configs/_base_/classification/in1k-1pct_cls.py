# 1 % of ImageNet-1k's labels, chosen by a seed. For SimCLR's list, which the papers use, set split_file to its path.
_base_ = './in1k_cls.py'

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='lewel_plugins.LabeledSplit',
            dataset=_base_.train_dataloader.dataset.dataset,
            split_file='data/splits/in1k_1pct_seed0.txt',
            fraction=0.01,
            seed=0,
        )
    )
)

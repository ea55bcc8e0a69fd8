# 10 % of the labels of CIFAR-10, by the rates of LEWEL Sec. 4.2 for 10 %.
_base_ = './lewel-semi-100pct_1xb64-steplr-50e_cifar10.py'
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            _delete_=True,
            type='lewel_plugins.LabeledSplit',
            dataset=_base_.train_dataloader.dataset.dataset,
            split_file='data/splits/cifar10_10pct_seed0.txt',
            fraction=0.1,
            seed=0,
        )
    )
)

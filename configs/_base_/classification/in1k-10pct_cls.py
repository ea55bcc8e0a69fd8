# 10 % of ImageNet-1k's labels, chosen as in in1k-1pct_cls.py.
_base_ = './in1k-1pct_cls.py'
train_dataloader = dict(dataset=dict(dataset=dict(split_file='data/splits/in1k_10pct_seed0.txt', fraction=0.1)))

# What the small recipes on CIFAR-10 share, for a method of another library: data, views, optimizer and schedule.
# tools/train.py imports the algorithm from tools/measurements; it needs the environment of
# `tools/make_env.sh .venv-libraries libraries`.
_base_ = ['../../_base_/datasets/cifar10_small.py', '../../_base_/cifar10_10e.py']
model = dict(backbone=dict(type='lewel_plugins.ResNet10'))

# stable-pretraining's Barlow Twins, with the widths and the weight of
# configs/baselines/barlowtwins_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.stable_pretraining_methods'])
model = dict(
    type='lewel_plugins.StablePretrainingMethod',
    method='BarlowTwins',
    settings=dict(projector_dims=(256, 256, 256), lambd=0.0051),
)

# lightly's Barlow Twins, with the widths and the weight of
# configs/baselines/barlowtwins_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.lightly_methods'])
model = dict(
    type='lewel_plugins.LightlyBarlowTwins',
    in_channels=128,
    hid_channels=256,
    out_channels=256,
    redundancy_weight=0.0051,
)

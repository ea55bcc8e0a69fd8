# lightly's BYOL, with the widths and the teacher of configs/baselines/byol_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.lightly_methods'])
model = dict(
    type='lewel_plugins.LightlyBYOL',
    in_channels=128,
    hid_channels=128,
    out_channels=64,
    momentum=0.02,
    end_momentum=0.0,
)

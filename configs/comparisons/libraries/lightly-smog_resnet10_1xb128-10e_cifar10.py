# lightly's SMoG, with the widths, the groups and the teacher of configs/smog/smog_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.lightly_methods'])
model = dict(
    type='lewel_plugins.LightlySMoG',
    in_channels=128,
    hid_channels=128,
    out_channels=64,
    momentum=0.0077,
    num_groups=91,
    interval=39,
    batch_size=128,
)

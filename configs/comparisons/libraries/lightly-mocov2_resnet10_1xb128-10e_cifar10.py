# lightly's MoCo v2, with the widths, the queue and the teacher of
# configs/baselines/mocov2_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.lightly_methods'])
model = dict(
    type='lewel_plugins.LightlyMoCo',
    in_channels=128,
    hid_channels=128,
    out_channels=64,
    momentum=0.01,
    queue_len=4096,
    temperature=0.2,
)

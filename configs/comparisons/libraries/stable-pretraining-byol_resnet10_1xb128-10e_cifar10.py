# stable-pretraining's BYOL, with the widths and the teacher of
# configs/baselines/byol_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.stable_pretraining_methods'])
model = dict(
    type='lewel_plugins.StablePretrainingMethod',
    method='BYOL',
    settings=dict(
        projector_dims=(128, 64), predictor_dims=(128, 64), ema_decay_start=0.98, ema_decay_end=1.0
    ),
)

# stable-pretraining's MoCo v2, with the widths, the queue and the teacher of
# configs/baselines/mocov2_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.stable_pretraining_methods'])
model = dict(
    type='lewel_plugins.StablePretrainingMethod',
    method='MoCov2',
    settings=dict(
        projector_dims=(128, 64), queue_length=4096, temperature=0.2, ema_decay_start=0.99, ema_decay_end=0.99
    ),
)

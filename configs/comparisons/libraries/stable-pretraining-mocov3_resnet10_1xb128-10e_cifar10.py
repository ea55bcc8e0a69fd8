# stable-pretraining's MoCo v3, with the heads and the teacher of
# configs/baselines/mocov3_resnet10_1xb128-10e_cifar10.py.
_base_ = '../_base_/library_cifar10.py'
custom_imports = dict(imports=['measurements.steps.stable_pretraining_methods'])
model = dict(
    type='lewel_plugins.StablePretrainingMethod',
    method='MoCov3',
    settings=dict(
        projector_dims=(128, 64), predictor_hidden_dim=128, temperature=0.2, ema_decay_start=0.99, ema_decay_end=1.0
    ),
)

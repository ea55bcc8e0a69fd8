# All methods and baselines on CIFAR-10 at equal time: each as long as the ten epochs of BYOL take, by the paired ratios of
# step_rows_cifar10.md, to a whole number of epochs; so K = 8 has a fifth more time. BYOL with EMAN is LEWEL_B with β = 0,
# which computes the aligned branch without need, and has the length of BYOL. All else as in all-methods_cifar10.py.
_base_ = ['./_base_/cifar10_methods.py', './_base_/cifar10_evaluation.py']
name = 'equal-time_cifar10'
title = 'All methods on CIFAR-10, at equal time'
question = 'Which method learns the best features of these photographs in the time of ten epochs of BYOL?'

epochs = {
    'MoCo v2': 17,
    'MoCo v2, projector at 1/4': 17,
    'MoCo v3': 9,
    'BYOL': 10,
    'BYOL, LARS': 10,
    'BYOL, EMAN': 10,
    'Barlow Twins': 12,
    'LEWEL_M': 7,
    'LEWEL_B': 7,
    'LEWEL_B, EMAN': 8,
    'SMoG': 18,
    'SMoG, multi-crop': 10,
    'MPCL, MoCo v2': 15,
    'MPCL, MoCo v3': 9,
    'MPCL, Barlow Twins': 11,
    'MSBReg, K = 2': 10,
    'MSBReg, K = 4': 5,
    'MSBReg, K = 8': 3,
}
# group_schedule(images=50000, batch_size=128, epochs=18)
smog = {'model.head.end_beta': 0.959, 'model.momentum': 0.0043, 'custom_hooks.0.interval': 70}
length = ('train_cfg.max_epochs', 'train_cfg.val_interval', 'param_scheduler.0.T_max', 'param_scheduler.0.end')
rows = [
    dict(
        name=name,
        config=method.config,
        options={
            **method.options,
            **(smog if name == 'SMoG' else {}),
            **(dict.fromkeys(length, epochs[name]) if epochs[name] != 10 else {}),
            'optim_wrapper.optimizer.lr': method.lr,
        },
    )
    for name, method in _base_.shared.items()
]
baseline = 'BYOL'
seeds = [0, 1, 2]
del epochs, smog, length

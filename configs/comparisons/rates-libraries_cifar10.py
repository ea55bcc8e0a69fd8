# The learning rate of each row of libraries_cifar10.py that rates_cifar10.py does not have, by the same search: the rates
# of SGD that the method has there, at half the length, one seed, scored on training images that are held out. The loss of
# BYOL is a quarter of the one here in lightly and half of it in stable-pretraining: 1.0 is there what 0.25 and 0.5 are
# here. Run it with .venv-libraries/bin/python.
_base_ = ['./_base_/cifar10_search.py', './_base_/cifar10_identities.py']
name = 'rates-libraries_cifar10'
title = 'Learning rates of other libraries on CIFAR-10'
question = 'Which rate of SGD is the best for each method of another library?'

small = '_resnet10_1xb128-10e_cifar10.py'
smog = {'model.momentum': 0.017, 'model.interval': 18}  # group_schedule(images=45000, batch_size=128, epochs=5)
rates = {
    'BYOL': (0.1, 0.3, 0.03, 1.0),
    'MoCo v2': (0.1, 0.3, 0.03, 0.01, 0.003),
    'MoCo v3': (0.1, 0.3, 0.03),
    'Barlow Twins': (0.1, 0.3, 0.03, 0.01, 0.003, 0.001, 0.0003),
    'SMoG': (0.1, 0.3, 0.03, 0.01),
}
libraries = [
    ('BYOL', 'ours', '../msbreg/msbreg-k2', _base_.shared['BYOL']),
    ('BYOL', 'lightly', 'libraries/lightly-byol', {}),
    ('BYOL', 'stable-pretraining', 'libraries/stable-pretraining-byol', {}),
    ('MoCo v2', 'ours', '../mpcl/mpcl-mocov2', _base_.shared['MPCL']),
    ('MoCo v2', 'lightly', 'libraries/lightly-mocov2', {}),
    ('MoCo v2', 'stable-pretraining', 'libraries/stable-pretraining-mocov2', {}),
    ('MoCo v3', 'ours', '../mpcl/mpcl-mocov3', _base_.shared['MPCL']),
    ('MoCo v3', 'stable-pretraining', 'libraries/stable-pretraining-mocov3', {}),
    ('Barlow Twins', 'ours', '../mpcl/mpcl-barlowtwins', _base_.shared['MPCL']),
    ('Barlow Twins', 'lightly', 'libraries/lightly-barlowtwins', {}),
    ('Barlow Twins', 'stable-pretraining', 'libraries/stable-pretraining-barlowtwins', {}),
    ('SMoG', 'lightly', 'libraries/lightly-smog', smog),
]
rows = [
    dict(
        name=f'{method}, {library}, {lr}',
        config=config + small,
        options={**changes, 'optim_wrapper.optimizer.lr': lr},
        baseline=f'{method}, {library}, 0.1',
        series=f'{method}, {library}',
        value=lr,
    )
    for method, library, config, changes in libraries
    for lr in rates[method]
]
del small, smog, rates, libraries

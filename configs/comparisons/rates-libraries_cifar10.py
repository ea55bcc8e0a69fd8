# The learning rate of each row of libraries_cifar10.py that rates_cifar10.py does not have, by the same search: three
# rates at half the length, one seed, scored on training images that are held out. The loss of BYOL is a quarter of
# the one here in lightly and half of it in stable-pretraining, so these rows have a fourth rate: 1.0 is there what 0.25
# and 0.5 are here. Run it with .venv-libraries/bin/python.
_base_ = './_base_/cifar10_search.py'
name = 'rates-libraries_cifar10'
title = 'Learning rates of other libraries on CIFAR-10'
question = 'Which rate of SGD is the best for each method of another library?'

small = '_resnet10_1xb128-10e_cifar10.py'
byol = {'model.head.exclude_self': True, 'model.head.lambda_c': 2.0, 'model.head.lambda_s': 0, 'model.head.lambda_b': 0}
single = {'model.neck.num_projectors': 1}
smog = {'model.momentum': 0.017, 'model.interval': 18}  # group_schedule(images=45000, batch_size=128, epochs=5)
three, four = (0.1, 0.3, 0.03), (0.1, 0.3, 0.03, 1.0)
methods = [
    ('BYOL, ours', '../msbreg/msbreg-k2', byol, three),
    ('BYOL, lightly', 'libraries/lightly-byol', {}, four),
    ('BYOL, stable-pretraining', 'libraries/stable-pretraining-byol', {}, four),
    ('MoCo v2, ours', '../mpcl/mpcl-mocov2', single, three),
    ('MoCo v2, lightly', 'libraries/lightly-mocov2', {}, three),
    ('MoCo v2, stable-pretraining', 'libraries/stable-pretraining-mocov2', {}, three),
    ('MoCo v3, ours', '../mpcl/mpcl-mocov3', single, three),
    ('MoCo v3, stable-pretraining', 'libraries/stable-pretraining-mocov3', {}, three),
    ('Barlow Twins, ours', '../mpcl/mpcl-barlowtwins', single, three),
    ('Barlow Twins, lightly', 'libraries/lightly-barlowtwins', {}, three),
    ('Barlow Twins, stable-pretraining', 'libraries/stable-pretraining-barlowtwins', {}, three),
    ('SMoG, lightly', 'libraries/lightly-smog', smog, three),
]
rows = [
    dict(
        name=f'{method}, {lr}',
        config=config + small,
        options={**changes, 'optim_wrapper.optimizer.lr': lr},
        baseline=f'{method}, 0.1',
        series=method,
        value=lr,
    )
    for method, config, changes, rates in methods
    for lr in rates
]
del small, byol, single, smog, three, four, methods

# Methods of this package and of mmpretrain beside those of lightly and stable-pretraining, at the rate of SGD that is the
# best for each by the same search (rates_cifar10.py, rates-libraries_cifar10.py; tests compare them). Until a row has been
# searched, it has the rate of the method's first row. Data, views, backbone, batch, optimizer,
# schedule, seeds, order of the images and evaluation are the same; heads, losses, teachers, queues and groups are each
# library's own, with equal widths. tools/measurements/steps/lightly_methods.py and stable_pretraining_methods.py list
# which settings come from where. Run it with .venv-libraries/bin/python (tools/make_env.sh .venv-libraries libraries);
# `step.py rows` measures the time per step.
_base_ = './_base_/cifar10_identities.py'
name = 'libraries_cifar10'
title = 'Beside other libraries on CIFAR-10'
question = 'Do the shared methods learn as much as in other libraries, all else equal, and SMoG more than in lightly?'

seeds = [0, 1, 2]
small = '_resnet10_1xb128-10e_cifar10.py'
# Method: its rows, the first of which is the baseline, with config, rate and options.
methods = {
    'BYOL': {
        'mmpretrain': ('../baselines/byol', 0.3, {}),
        'ours': ('../msbreg/msbreg-k2', 0.3, _base_.shared['BYOL']),
        'lightly': ('libraries/lightly-byol', 0.3, {}),
        'stable-pretraining': ('libraries/stable-pretraining-byol', 0.3, {}),
    },
    'MoCo v2': {
        'mmpretrain': ('../baselines/mocov2', 0.01, {}),
        'ours': ('../mpcl/mpcl-mocov2', 0.01, _base_.shared['MPCL']),
        'lightly': ('libraries/lightly-mocov2', 0.01, {}),
        'stable-pretraining': ('libraries/stable-pretraining-mocov2', 0.01, {}),
    },
    'MoCo v3': {
        'mmpretrain': ('../baselines/mocov3', 0.1, {}),
        'ours': ('../mpcl/mpcl-mocov3', 0.1, _base_.shared['MPCL']),
        'stable-pretraining': ('libraries/stable-pretraining-mocov3', 0.1, {}),
    },
    'Barlow Twins': {
        'mmpretrain': ('../baselines/barlowtwins', 0.001, {}),
        'ours': ('../mpcl/mpcl-barlowtwins', 0.001, _base_.shared['MPCL']),
        'lightly': ('libraries/lightly-barlowtwins', 0.001, {}),
        'stable-pretraining': ('libraries/stable-pretraining-barlowtwins', 0.001, {}),
    },
    'SMoG': {
        'ours': ('../smog/smog', 0.03, {}),
        'lightly': ('libraries/lightly-smog', 0.03, {}),
    },
}
rows = [
    dict(
        name=f'{method}, {library}',
        config=config + small,
        options={**options, 'optim_wrapper.optimizer.lr': lr},
        baseline=f'{method}, {list(libraries)[0]}',
    )
    for method, libraries in methods.items()
    for library, (config, lr, options) in libraries.items()
]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
del small, methods

# Methods of this package and of mmpretrain beside those of lightly and stable-pretraining, at the rate that is the best
# for each of three or four (rates_cifar10.py, rates-libraries_cifar10.py). Data, views, backbone, batch, optimizer,
# schedule, seeds, order of the images and evaluation are the same; heads, losses, teachers, queues and groups are each
# library's own, with equal widths. tools/measurements/steps/lightly_methods.py and stable_pretraining_methods.py list
# which settings come from where. Run it with .venv-libraries/bin/python (tools/make_env.sh .venv-libraries libraries);
# `step.py rows` measures the time per step.
name = 'libraries_cifar10'
title = 'Beside other libraries on CIFAR-10'
question = 'Do the shared methods learn as much as in other libraries, all else equal, and SMoG more than in lightly?'

seeds = [0, 1, 2]
small = '_resnet10_1xb128-10e_cifar10.py'
# MSBReg with two views, each compared with the target of the other, is BYOL; MPCL with one projector is its framework.
byol = {'model.head.exclude_self': True, 'model.head.lambda_c': 2.0, 'model.head.lambda_s': 0, 'model.head.lambda_b': 0}
single = {'model.neck.num_projectors': 1}
# Method: its rows, the first of which is the baseline, with config, rate and options.
methods = {
    'BYOL': {
        'mmpretrain': ('../baselines/byol', 0.1, {}),
        'ours': ('../msbreg/msbreg-k2', 0.1, byol),
        'lightly': ('libraries/lightly-byol', 0.1, {}),
        'stable-pretraining': ('libraries/stable-pretraining-byol', 0.1, {}),
    },
    'MoCo v2': {
        'mmpretrain': ('../baselines/mocov2', 0.1, {}),
        'ours': ('../mpcl/mpcl-mocov2', 0.1, single),
        'lightly': ('libraries/lightly-mocov2', 0.1, {}),
        'stable-pretraining': ('libraries/stable-pretraining-mocov2', 0.1, {}),
    },
    'MoCo v3': {
        'mmpretrain': ('../baselines/mocov3', 0.1, {}),
        'ours': ('../mpcl/mpcl-mocov3', 0.1, single),
        'stable-pretraining': ('libraries/stable-pretraining-mocov3', 0.1, {}),
    },
    'Barlow Twins': {
        'mmpretrain': ('../baselines/barlowtwins', 0.1, {}),
        'ours': ('../mpcl/mpcl-barlowtwins', 0.1, single),
        'lightly': ('libraries/lightly-barlowtwins', 0.1, {}),
        'stable-pretraining': ('libraries/stable-pretraining-barlowtwins', 0.1, {}),
    },
    'SMoG': {
        'ours': ('../smog/smog', 0.1, {}),
        'lightly': ('libraries/lightly-smog', 0.1, {}),
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
del small, byol, single, methods

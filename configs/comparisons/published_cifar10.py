# Two published benchmarks on CIFAR-10 in their settings: BYOL, MoCo, Barlow Twins and SMoG of lightly, BYOL of EMP-SSL; then
# the methods of this package with the data, network, batch and optimizer of lightly (MSBReg: the optimizer of its paper).
# With JPEG files, which the published figures are not from, BYOL is the control. On a shared GPU, run one row in pieces of ten
# minutes:
#     python tools/compare.py configs/comparisons/published_cifar10.py --only "BYOL, 200 epochs" --seeds 0 --gpus 0 \
#         --max-minutes 10
name = 'published_cifar10'
title = 'Published figures on CIFAR-10'
question = (
    'Do the methods reach the figures that others have published for them in the same settings? The figures in the table of '
    'configs are from others; none was measured with this code. Those of lightly are the best of all epochs, those measured '
    'here the last.'
)

lightly = '_resnet18_1xb128-coslr-200e_cifar10.py'
epochs_30 = {'train_cfg.max_epochs': 30, 'param_scheduler.0.T_max': 30, 'param_scheduler.0.end': 30}
emp_ssl = '../baselines/byol-sololearn_resnet18_1xb256-lars-coslr-30e_cifar10.py'
methods = {  # config, and lightly's 200-NN after 200 epochs
    'BYOL': ('../baselines/byol' + lightly, '86.9'),
    'MoCo': ('../baselines/mocov2' + lightly, '83.8'),
    'Barlow Twins': ('../baselines/barlowtwins' + lightly, '84.2'),
    'SMoG': ('../smog/smog' + lightly, '74.3'),
    'LEWEL_M': ('../lewel/lewel-m' + lightly, ''),
    'LEWEL_B': ('../lewel/lewel-b' + lightly, ''),
    'MPCL, MoCo v2': ('../mpcl/mpcl-mocov2' + lightly, ''),
    'MSBReg, K = 4': ('../msbreg/msbreg-k4_resnet18_1xb128-lars-coslr-200e_cifar10.py', ''),
}
rows = [
    *[
        dict(
            name=f'{method}, 200 epochs',
            config=path,
            published=f'200-NN {figure} (lightly)' if figure else '',
            baseline='BYOL, 200 epochs',
        )
        for method, (path, figure) in methods.items()
    ],
    *[
        dict(name=f'{method}, 30 epochs', config=path, options=epochs_30, baseline='BYOL, 30 epochs')
        for method, (path, _) in methods.items()
    ],
    dict(
        name='BYOL by solo-learn, 30 epochs',
        config=emp_ssl,
        published='linear 68.4 (EMP-SSL); beside it SimCLR 66.3, VICReg 78.1',
        baseline='BYOL, 30 epochs',
    ),
]
baseline = 'BYOL, 200 epochs'
evaluate = (
    '{python} {tools}/evaluate.py {tools}/../configs/benchmarks/evaluation_cifar10.py {checkpoint} --seed {seed}'
    ' --out {work_dir}/evaluation --json {json} --protocols linear'
)
# lightly's networks have seen images with ImageNet's mean and deviation.
normalize = ' --cfg-options data_preprocessor.mean=123.675,116.28,103.53 data_preprocessor.std=58.395,57.12,57.375'
post = [
    dict(name='linear', command=evaluate + normalize, rows=[f'{method}, 30 epochs' for method in methods]),
    dict(name='linear_solo-learn', command=evaluate, rows=['BYOL by solo-learn, 30 epochs']),
]
metrics = [
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='evaluation/linear/top1', label='linear, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
seeds = [0]
del lightly, epochs_30, emp_ssl, methods, evaluate, normalize

# Every method of this package and its baselines by every protocol of classification: 9 rows × 3 seeds, equal budget, one
# optimizer and one set of views for all, then tools/evaluate.py on the last checkpoint of each, with the run's seed for
# splits, heads and orders. More protocols are commands in configs/benchmarks/evaluation_garment-scenes.py.
name = 'evaluation_garment-scenes'
title = 'Evaluation by classification on garment scenes'
question = 'Which orderings of the papers hold: each method against its baseline, by k-NN, linear, 1 % and 10 % of labels?'

epochs = 12
budget = {
    'train_cfg.max_epochs': epochs,
    'train_cfg.val_interval': 4,
    'param_scheduler.0.T_max': epochs,
    'param_scheduler.0.end': epochs,
}
evaluate = '{python} {tools}/evaluate.py {tools}/../configs/benchmarks/evaluation_garment-scenes.py'
evaluate += ' %s --seed {seed} --out {work_dir}/evaluation --json {json}'
methods = {
    'supervised': ('../benchmarks/supervised/supervised', ''),
    'BYOL': ('../baselines/byol', ''),
    'MoCo v2': ('../baselines/mocov2', ''),
    'LEWEL_M': ('../lewel/lewel-m', 'MoCo v2'),
    'LEWEL_B': ('../lewel/lewel-b', 'BYOL'),
    'SMoG': ('../smog/smog', 'MoCo v2'),
    'MPCL': ('../mpcl/mpcl-mocov2', 'MoCo v2'),
    'MSBReg': ('../msbreg/msbreg-k4', 'BYOL'),
}
rows = [
    dict(
        name='random initialisation',
        config='../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py',
        command=evaluate % '{config}',
    ),
    *[
        dict(name=method, config=path + '_resnet10_1xb64-24e_garment-scenes.py', options=budget, baseline=baseline)
        for method, (path, baseline) in methods.items()
    ],
]
post = [dict(name='evaluation', command=evaluate % '{checkpoint}')]
seeds = [0, 1, 2]
baseline = 'BYOL'
metrics = [
    dict(key='evaluation/knn/top1_k5', label='5-NN, %', digits=1),
    dict(key='evaluation/knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='evaluation/knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='evaluation/linear/top1', label='linear, %', digits=1),
    dict(key='evaluation/semi_1pct/top1', label='1 % of labels, %', digits=1),
    dict(key='evaluation/semi_10pct/top1', label='10 % of labels, %', digits=1),
]
del epochs, budget, evaluate, methods

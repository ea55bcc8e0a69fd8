# Frozen features and few labels on CIFAR-10 (docs/evaluation.md): tools/evaluate.py FILE CHECKPOINT --out DIR.
# For frozen features, `linear` names the recipe, which is without augmentation. The first of `lrs` counts; the others
# show how much the rate matters.
linear = 'linear/lewel-b-linear_1xb256-steplr-50e_cifar10.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
# Further protocols, as in evaluation_garment-scenes.py.
semi = '{{python}} {{tools}}/benchmarks/classification.py {{configs}}/semi/{config} {{checkpoint}} --seed {{seed}}'
semi += ' --work-dir {{out}} --json {{json}}'
commands = [
    dict(name='semi_1pct', command=semi.format(config='lewel-semi-1pct_1xb64-steplr-50e_cifar10.py')),
    dict(name='semi_10pct', command=semi.format(config='lewel-semi-10pct_1xb64-steplr-50e_cifar10.py')),
]
del semi

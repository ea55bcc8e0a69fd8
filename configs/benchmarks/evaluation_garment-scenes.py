# Frozen features and few labels on garment scenes, in minutes: tools/evaluate.py FILE CHECKPOINT --out DIR.
# evaluation-transfer_garment-scenes.py adds detection and segmentation, evaluation-all_garment-scenes.py all other
# protocols. For frozen features, `linear` names the recipe. The first of `lrs` counts; the others show how much the
# rate matters.
linear = 'linear/lewel-b-linear_1xb256-steplr-50e_garment-scenes.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
# Each further protocol is a command that writes a json object of numbers to {json}. {out} is its folder, {configs} the
# folder of this file. {python}, {tools}, {checkpoint} and {seed} can be used as well.
semi = '{{python}} {{tools}}/benchmarks/classification.py {{configs}}/semi/{config} {{checkpoint}} --seed {{seed}}'
semi += ' --work-dir {{out}} --json {{json}}'
commands = [
    dict(
        name='semi_1pct',
        command=semi.format(config='lewel-semi-1pct_1xb64-steplr-50e_garment-scenes.py'),
    ),
    dict(
        name='semi_10pct',
        command=semi.format(config='lewel-semi-10pct_1xb64-steplr-50e_garment-scenes.py'),
    ),
]
del semi

# MPCL on Barlow Twins (the paper's Table VII): 3 seeds, equal budget in images seen, one optimizer and one set of views
# for all.
_base_ = './_base_/garment-scenes_8e-adamw.py'
name = 'mpcl_barlowtwins_garment-scenes'
title = 'MPCL on Barlow Twins on garment scenes'
question = 'Table VII: is PCR above Barlow Twins, and PTB above PCR?'

base = '../mpcl/mpcl-barlowtwins_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='Barlow Twins', config='../baselines/barlowtwins_resnet10_1xb64-24e_garment-scenes.py'),
    dict(name='M = 4, PCR', options={'custom_hooks.0.epsilon': None}),
    dict(name='M = 4, PCR and PTB'),
]
baseline = 'Barlow Twins'
# Measured on two training views of each validation image.
post = [
    dict(
        name='views',
        command='{python} {tools}/analysis/alignment_uniformity.py {config} {checkpoint} --seed {seed} --out {json}',
    ),
]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='backbone/alignment', label='alignment', digits=3, higher_is_better=False),
    dict(key='backbone/uniformity', label='uniformity', digits=3, higher_is_better=False),
    dict(key='projector/cosine', label='cosine between projectors', digits=3, higher_is_better=False),
]
recipe = '../mpcl/mpcl-barlowtwins_resnet50_8xb128-lars-coslr-300e_in100.py'
variants = dict(
    in100=dict(
        title='MPCL on Barlow Twins on ImageNet-100 (Table VII)',
        base=recipe,
        configs={'../baselines/barlowtwins_resnet10_1xb64-24e_garment-scenes.py': recipe},
        rows={'Barlow Twins': dict(options={'model.neck.num_projectors': 1})},  # one projector is Barlow Twins
        seeds=[0],
    ),
)
del recipe

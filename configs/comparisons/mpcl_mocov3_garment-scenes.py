# MPCL on MoCo v3 (the paper's Table VII): 3 seeds, equal budget in images seen, one optimizer and one set of views for
# all. Projectors of the same width share their hidden layers; the hidden widths of "different" add up to four times
# that of "same".
_base_ = './_base_/garment-scenes_8e-adamw.py'
options = {
    'train_cfg.max_epochs': 6,
    'train_cfg.val_interval': 3,
    'param_scheduler.0.T_max': 6,
    'param_scheduler.0.end': 6,
}
name = 'mpcl_mocov3_garment-scenes'
title = 'MPCL on MoCo v3 on garment scenes'
question = 'Table VII: MoCo v3 about as good as equal projectors, different widths above, then PCR, then PTB?'

base = '../mpcl/mpcl-mocov3_vit-tiny-p4_1xb64-24e_garment-scenes.py'
no_ptb = {'custom_hooks.0.epsilon': None}
no_pcr = {'model.head.balance.pcr_weight': 0.0, **no_ptb}
rows = [
    dict(name='MoCo v3', config='../baselines/mocov3_vit-tiny-p4_1xb64-24e_garment-scenes.py'),
    dict(name='M = 4, same', options=no_pcr),
    dict(
        name='M = 4, different',
        bound_to_base=True,
        options={'model.neck.hid_channels': [64, 96, 128, 224], **no_pcr},
    ),
    dict(name='M = 4, PCR', options=no_ptb),
    dict(name='M = 4, PCR and PTB'),
]
baseline = 'MoCo v3'
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
# One projector is MoCo v3. The hidden widths of "different" add up to those of "same".
one = {'model.neck.num_projectors': 1}
wide = {'model.neck.hid_channels': [2048, 3072, 4096, 7168], **no_pcr}
variants = {
    data: dict(
        title=f'MPCL on MoCo v3 on ImageNet-100, batch {batch} (Table VII)',
        base=recipe,
        configs={'../baselines/mocov3_vit-tiny-p4_1xb64-24e_garment-scenes.py': recipe},
        rows={'MoCo v3': dict(options=one), 'M = 4, different': dict(options=wide)},
        seeds=[0],
    )
    for data, batch, recipe in (
        ('in100', 4096, '../mpcl/mpcl-mocov3_vit-base-p16_16xb256-coslr-300e_in100.py'),
        ('in100-2048', 2048, '../mpcl/mpcl-mocov3_vit-base-p16_8xb256-coslr-300e_in100.py'),
    )
}
del no_ptb, no_pcr, one, wide

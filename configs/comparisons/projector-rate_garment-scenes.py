# Why several equal projectors are better than one on garment scenes, unlike in MPCL's Table I. With the mean over M
# losses each projector gets 1/M of the gradient, which with SGD is a smaller rate. 4 rows × 3 seeds;
# mpcl_mocov2_garment-scenes.py has two of them as well.
_base_ = './_base_/garment-scenes_12e.py'
name = 'projector-rate_garment-scenes'
title = 'MoCo v2 and M = 4 at other rates of the projectors on garment scenes'
question = 'Is it the number of projectors, or their learning rate?'

base = '../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py'
moco = '../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'
same = {'model.head.balance.pcr_weight': 0.0, 'custom_hooks.0.epsilon': None}
rows = [
    dict(name='MoCo v2', config=moco),
    dict(
        name='MoCo v2, projector at 1/4 of the rate',
        config=moco,
        options={'optim_wrapper.paramwise_cfg.custom_keys': {'neck': dict(lr_mult=0.25)}},
    ),
    dict(name='M = 4, same', options=same),
    dict(
        name='M = 4, same, projectors at 4 times the rate',
        options={'optim_wrapper.paramwise_cfg.custom_keys': {'neck': dict(lr_mult=4.0)}, **same},
    ),
]
baseline = 'MoCo v2'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
]
del moco, same

# LEWEL_B and BYOL at two rates of LARS, 6 epochs. Is the rate, which was chosen with BYOL, the reason why LEWEL_B is
# not above it in all-methods_garment-scenes.py? That file contains the rows at 3.0.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'lewel_rate_garment-scenes'
title = 'LEWEL_B and BYOL at two rates of LARS on garment scenes'
question = 'Is LEWEL_B above BYOL at a lower rate?'
configs = {
    'BYOL': '../baselines/byol_resnet10_1xb64-24e_garment-scenes.py',
    'LEWEL_B': '../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py',
}
rows = [
    dict(
        name=f'{method}, {rate}',
        config=config,
        baseline=f'BYOL, {rate}',
        options={
            'optim_wrapper.optimizer': dict(
                _delete_=True, type='lewel_plugins.LARS', lr=rate, momentum=0.9, weight_decay=1e-6
            )
        },
    )
    for rate in (1.0, 3.0)
    for method, config in configs.items()
]
baseline = 'BYOL, 3.0'
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
    dict(key='representation/std', label='std', digits=3),
]
del configs

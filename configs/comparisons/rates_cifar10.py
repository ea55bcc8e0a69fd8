# The learning rate of each method on CIFAR-10: three rates at half the length of the recipes, one seed. The networks
# train on 45,000 of the training images, and the other 5,000 give the score, so that no test image takes part.
# cifar10.py has the rates that were chosen.
name = 'rates_cifar10'
title = 'Learning rates on CIFAR-10'
question = 'Which of three rates of SGD is the best for each method?'

epochs = 5
options = {
    'train_cfg.max_epochs': epochs,
    'train_cfg.val_interval': epochs,
    'param_scheduler.0.T_max': epochs,
    'param_scheduler.0.end': epochs,
    'train_dataloader.dataset.dataset.split': 'fit',
    'val_cfg.bank_dataloader.dataset.split': 'fit',
    'val_dataloader.dataset.split': 'held_out',
}
seeds = [0]
small = '_resnet10_1xb128-10e_cifar10.py'
eman = {'model.teacher_norm': 'eman'}
# group_schedule(images=45000, batch_size=128, epochs=5)
smog = {'model.head.end_beta': 0.85, 'model.momentum': 0.017, 'custom_hooks.0.interval': 18}
methods = [
    ('MoCo v2', '../baselines/mocov2' + small, {}),
    ('MoCo v3', '../baselines/mocov3' + small, {}),
    ('BYOL', '../baselines/byol' + small, {}),
    ('BYOL, EMAN', '../lewel/lewel-b' + small, {**eman, 'model.head.beta': 0.0, 'model.neck.coupled': False}),
    ('Barlow Twins', '../baselines/barlowtwins' + small, {}),
    ('LEWEL_M', '../lewel/lewel-m' + small, {}),
    ('LEWEL_B', '../lewel/lewel-b' + small, {}),
    ('LEWEL_B, EMAN', '../lewel/lewel-b' + small, eman),
    ('SMoG', '../smog/smog' + small, smog),
    ('SMoG, multi-crop', '../smog/smog_resnet10_1xb128-multicrop-10e_cifar10.py', smog),
    ('MPCL, MoCo v2', '../mpcl/mpcl-mocov2' + small, {}),
    ('MPCL, MoCo v3', '../mpcl/mpcl-mocov3' + small, {}),
    ('MPCL, Barlow Twins', '../mpcl/mpcl-barlowtwins' + small, {}),
    ('MSBReg, K = 2', '../msbreg/msbreg-k2' + small, {}),
    ('MSBReg, K = 4', '../msbreg/msbreg-k4' + small, {}),
    ('MSBReg, K = 8', '../msbreg/msbreg-k8' + small, {}),
]
rows = [
    dict(
        name=f'{method}, {lr}',
        config=config,
        options={**changes, 'optim_wrapper.optimizer.lr': lr},
        baseline=f'{method}, 0.1',
    )
    for method, config, changes in methods
    for lr in (0.1, 0.3, 0.03)
]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]
del epochs, small, eman, smog, methods

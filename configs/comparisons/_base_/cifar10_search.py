# The search of a learning rate on CIFAR-10: half the length of the small recipes, one seed. The networks train on 45,000
# of the training images, and the other 5,000 give the score, so that no test image takes part.
options = {
    'train_cfg.max_epochs': 5,
    'train_cfg.val_interval': 5,
    'param_scheduler.0.T_max': 5,
    'param_scheduler.0.end': 5,
    'train_dataloader.dataset.dataset.split': 'fit',
    'val_cfg.bank_dataloader.dataset.split': 'fit',
    'val_dataloader.dataset.split': 'held_out',
}
seeds = [0]
metrics = [
    dict(key='knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='representation/rank_me', label='RankMe', digits=1),
]

# For methods whose steps have many views: a quarter of the recipes' epochs, and 3 seeds.
options = {
    'train_cfg.max_epochs': 6,
    'train_cfg.val_interval': 3,
    'param_scheduler.0.T_max': 6,
    'param_scheduler.0.end': 6,
}
seeds = [0, 1, 2]

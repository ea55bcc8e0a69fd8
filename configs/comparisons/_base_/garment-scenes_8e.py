# For methods whose steps take longer: a third of the recipes' epochs, and 3 seeds.
options = {
    'train_cfg.max_epochs': 8,
    'train_cfg.val_interval': 4,
    'param_scheduler.0.T_max': 8,
    'param_scheduler.0.end': 8,
}
seeds = [0, 1, 2]

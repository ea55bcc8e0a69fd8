# Most comparisons on garment scenes use this: half the epochs of the recipes, and 3 seeds.
options = {
    'train_cfg.max_epochs': 12,
    'train_cfg.val_interval': 4,
    'param_scheduler.0.T_max': 12,
    'param_scheduler.0.end': 12,
}
seeds = [0, 1, 2]

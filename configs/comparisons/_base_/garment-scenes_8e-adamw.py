# For methods whose steps take longer: a third of the epochs of the recipes, and 3 seeds. The steps of AdamW do not
# depend on the scale of the gradient: the rate of a projector is the same in a mean over M losses as it is alone, as
# with LARS and AdamW in the paper's recipes, and unlike with SGD (projector-rate_garment-scenes.py). The rate is that
# of the calibration.
options = {
    'train_cfg.max_epochs': 8,
    'train_cfg.val_interval': 4,
    'param_scheduler.0.T_max': 8,
    'param_scheduler.0.end': 8,
    'optim_wrapper.optimizer': dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-2),
}
seeds = [0, 1, 2]

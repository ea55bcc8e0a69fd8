# For methods whose steps have many views: a quarter of the recipes' epochs, and 3 seeds. LARS, as in MSBReg's recipes:
# its steps do not depend on the scale of the gradient, which is half of BYOL's in a mean over two views, and L_s, of
# fourth order in the embeddings, stays finite; with SGD at 0.1, BYOL + L_s ended at infinity after 12 steps. Norms and
# biases are adapted, too. The rate is the better of 1 and 3 for BYOL (49.9 and 56.9 % with seed 0; SGD at 0.1 had 52.2).
options = {
    'train_cfg.max_epochs': 6,
    'train_cfg.val_interval': 3,
    'param_scheduler.0.T_max': 6,
    'param_scheduler.0.end': 6,
    'optim_wrapper.optimizer': dict(_delete_=True, type='lewel_plugins.LARS', lr=3.0, momentum=0.9, weight_decay=1e-6),
}
seeds = [0, 1, 2]

# For methods whose steps have many views: a quarter of the epochs of the recipes. The steps of LARS do not depend on
# the scale of the gradient (a mean over two views has half the gradient of BYOL), except for parameters that start at
# zero: the biases of batch norm, whose first step is that of SGD. "K = 2, without the own target" in
# msbreg_garment-scenes.py is BYOL with half its loss.
_base_ = './garment-scenes_12e-lars.py'
options = {
    'train_cfg.max_epochs': 6,
    'train_cfg.val_interval': 3,
    'param_scheduler.0.T_max': 6,
    'param_scheduler.0.end': 6,
}

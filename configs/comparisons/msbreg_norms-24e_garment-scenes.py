# BYOL with LN in its heads, without and with L_b, at four times the budget of msbreg_norms_garment-scenes.py. Are its
# 750 steps the reason why L_b does not keep LN from collapsing there? 2 rows × 3 seeds.
_base_ = './msbreg_norms_garment-scenes.py'
name = 'msbreg_norms-24e_garment-scenes'
title = "LN in BYOL's heads on garment scenes, four times as long (of the paper's Tables 6 and 13)"
question = 'Do 3,000 steps show what 750 do not, that L_b keeps BYOL with LN from collapsing?'
options = {
    'train_cfg.max_epochs': 24,
    'train_cfg.val_interval': 6,
    'param_scheduler.0.T_max': 24,
    'param_scheduler.0.end': 24,
}
rows = _base_.rows[1:3]
baseline = 'BYOL, LN'
variants = dict(_delete_=True)

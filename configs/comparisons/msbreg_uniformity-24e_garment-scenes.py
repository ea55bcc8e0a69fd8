# Three rows of msbreg_uniformity_garment-scenes.py at four times its budget. Are its 750 steps the reason why L_uniform
# is ahead of K = 4 there? 3 rows × 3 seeds. The longest row comes first, so that two jobs end together.
_base_ = './msbreg_uniformity_garment-scenes.py'
name = 'msbreg_uniformity-24e_garment-scenes'
title = "Alignment and uniformity of MSBReg on garment scenes, four times as long (of the paper's Table 12)"
question = 'Is L_uniform still ahead of K = 4 after 3,000 steps?'
options = {
    'train_cfg.max_epochs': 24,
    'train_cfg.val_interval': 6,
    'param_scheduler.0.T_max': 24,
    'param_scheduler.0.end': 24,
}
rows = [_base_.rows[3], *_base_.rows[:2]]
baseline = 'BYOL'
variants = dict(_delete_=True)

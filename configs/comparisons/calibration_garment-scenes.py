# The effect of each setting of the testbed, one change at a time, on mmpretrain's MoCo v2 and no method of ours.
# Make the scenes of the last rows first:
#     python tools/data/make_garment_scenes.py --clutter 0.5 --out data/garment_scenes_cluttered
name = 'calibration_garment-scenes'
title = 'Calibration of garment scenes: MoCo v2 with one setting changed'
question = 'Which settings let a minute of pretraining come near raw pixels, or above?'

base = '../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py'
epochs = 4
budget = {
    'train_cfg.max_epochs': epochs,
    'train_cfg.val_interval': 2,
    'param_scheduler.0.T_max': epochs,
    'param_scheduler.0.end': epochs,
}
view = dict(size=32, crop_scale=(0.6, 1.0), jitter=1.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5, gray=0.3)
small_crops = {'data_preprocessor.views': [{**view, 'crop_scale': (0.2, 1.0)}] * 2}
byol_colors = {'data_preprocessor.views': [{**view, 'jitter': 0.8, 'saturation': 0.2, 'hue': 0.1, 'gray': 0.2}] * 2}
adamw = {'optim_wrapper.optimizer': dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-2)}
cluttered = {
    'train_dataloader.dataset.dataset.data_root': 'data/garment_scenes_cluttered',
    'val_dataloader.dataset.data_root': 'data/garment_scenes_cluttered',
    'val_cfg.bank_dataloader.dataset.data_root': 'data/garment_scenes_cluttered',
}
knn = '{python} {tools}/analysis/baseline_knn.py {config} --seeds {seed} --out {json}'
rows = [
    dict(name='as chosen', bound_to_base=True, options=budget),
    dict(name='residual branches start at zero', bound_to_base=True, options={**budget, 'model.backbone.zero_init_residual': True}),
    dict(name='crops from 0.2', bound_to_base=True, options={**budget, **small_crops}),
    dict(name="BYOL's colours", bound_to_base=True, options={**budget, **byol_colors}),  # prose: ok
    dict(name='AdamW at 1e-3', bound_to_base=True, options={**budget, **adamw}),
    dict(name='clutter 0.5', bound_to_base=True, options={**budget, **cluttered}),
    dict(name='raw pixels', command=knn, select='raw pixels', per_seed=False),
    dict(name='random initialisation', command=knn, select='random initialization'),  # prose: ok
    dict(name='raw pixels, clutter 0.5', bound_to_base=True, options=cluttered, command=knn, select='raw pixels', per_seed=False),
]
seeds = [0, 1]
baseline = 'as chosen'
metrics = [dict(key='knn/top1_k20', label='20-NN, %', digits=1)]
del epochs, budget, view, small_crops, byol_colors, adamw, cluttered, knn

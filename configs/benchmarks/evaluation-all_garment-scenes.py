# All protocols on garment scenes: those of evaluation-transfer_garment-scenes.py, all labels, and linear SVMs on scenes
# with several garments.
_base_ = './evaluation-transfer_garment-scenes.py'
scenes = 'data/garment_scenes_transfer/VOC2007'
commands = _base_.commands + [
    dict(
        name='semi_100pct',
        command='{python} {tools}/benchmarks/classification.py'
        ' {configs}/semi/lewel-semi-100pct_1xb64-steplr-50e_garment-scenes.py {checkpoint}'
        ' --seed {seed} --work-dir {out} --json {json}',
    ),
    dict(
        name='svm',
        command='{python} {tools}/benchmarks/voc_svm.py {configs}/svm/msbreg-svm_garment-scenes-multi.py {checkpoint}'
        ' --seed {seed} --json {json}'
        f' --cfg-options train_dataloader.dataset.data_root={scenes} test_dataloader.dataset.data_root={scenes}',
    ),
]
del scenes

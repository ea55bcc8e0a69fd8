# Transfer to detection and segmentation on garment scenes of 64 pixels, from 12 epochs of pretraining each, 3 seeds.
# Data:
#   python tools/data/make_garment_scenes.py
#   python tools/data/make_garment_scenes.py --kind multi --out data/garment_scenes_transfer --size 64 --scale 0.3 0.6 \
#       --clutter 0.2 --num-train 1000 --num-val 500
name = 'transfer_garment-scenes'
title = 'Transfer to detection and segmentation on garment scenes'
question = 'Is every pretraining above random initialisation? Which of the orderings that the papers find hold?'

epochs = 12
budget = {
    'train_cfg.max_epochs': epochs,
    'train_cfg.val_interval': epochs,
    'param_scheduler.0.T_max': epochs,
    'param_scheduler.0.end': epochs,
}
transfers = ' configs/benchmarks/mmdetection/garment-scenes/mask-rcnn_resnet10_fpn_1xb8-6e_garment-scenes.py'
transfers += ' configs/benchmarks/mmdetection/garment-scenes/faster-rcnn_resnet10-c4_1xb8-6e_garment-scenes.py'
transfers += ' configs/benchmarks/mmsegmentation/garment-scenes/fcn_resnet10-d4_1xb16-600i_garment-scenes.py'
transfers += ' --seed {seed} --work-dir {work_dir}/transfer --out {json} --pictures'
byol = '../baselines/byol_resnet10_1xb64-24e_garment-scenes.py'
rows = [
    dict(name='random initialisation', config=byol, command='{python} {tools}/transfer.py random' + transfers),
    dict(
        name='supervised', config='../baselines/supervised_resnet10_1xb64-24e_garment-scenes.py', options=budget
    ),
    dict(name='BYOL', config=byol, options=budget),
    dict(name='MoCo v2', config='../baselines/mocov2_resnet10_1xb64-24e_garment-scenes.py', options=budget),
    dict(
        name='LEWEL_M',
        config='../lewel/lewel-m_resnet10_1xb64-24e_garment-scenes.py',
        options=budget,
        baseline='MoCo v2',
    ),
    dict(
        name='LEWEL_B', config='../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py', options=budget, baseline='BYOL'
    ),
    dict(name='SMoG', config='../smog/smog_resnet10_1xb64-24e_garment-scenes.py', options=budget),
    dict(
        name='MPCL',
        config='../mpcl/mpcl-mocov2_resnet10_1xb64-24e_garment-scenes.py',
        options=budget,
        baseline='MoCo v2',
    ),
    dict(
        name='MSBReg', config='../msbreg/msbreg-k4_resnet10_1xb64-24e_garment-scenes.py', options=budget, baseline='BYOL'
    ),
]
post = [dict(name='transfer', command='{python} {tools}/transfer.py {checkpoint}' + transfers)]
seeds = [0, 1, 2]
baseline = 'random initialisation'
metrics = [
    dict(key='coco/bbox_mAP', label='box AP', digits=3, curve=False),
    dict(key='coco/bbox_mAP_50', label='box AP50', digits=3, curve=False),
    dict(key='coco/bbox_mAP_75', label='box AP75', digits=3, curve=False),
    dict(key='coco/segm_mAP', label='mask AP', digits=3, curve=False),
    dict(key='coco/segm_mAP_50', label='mask AP50', digits=3, curve=False),
    dict(key='coco/segm_mAP_75', label='mask AP75', digits=3, curve=False),
    dict(key='pascal_voc/mAP', label='VOC AP', digits=3, curve=False),
    dict(key='pascal_voc/AP50', label='VOC AP50', digits=3, curve=False),
    dict(key='pascal_voc/AP75', label='VOC AP75', digits=3, curve=False),
    dict(key='mIoU', label='mIoU, %', digits=1, curve=False),
]
del epochs, budget, transfers, byol

# All methods of this package and their baselines by all protocols: 9 rows × 3 seeds, equal epochs (MSBReg with K = 4
# sees twice the views in each), one optimizer and one set of views for all, then tools/evaluate.py on the last
# checkpoint of each, with the run's seed for splits, heads and orders. The protocols are those of
# configs/benchmarks/evaluation-transfer_garment-scenes.py without Faster R-CNN and the pictures. Make its data first.
_base_ = './_base_/garment-scenes_6e-lars.py'
name = 'all-methods_garment-scenes'
title = 'Evaluation of all methods on garment scenes'
question = (
    'Which orderings of the papers hold: each method against its baseline, by k-NN, linear, 1 % and 10 % of labels, '
    'detection and segmentation?'
)

evaluate = '{python} {tools}/evaluate.py {tools}/../configs/benchmarks/evaluation-transfer_garment-scenes.py'
evaluate += ' %s --seed {seed} --out {work_dir}/evaluation --json {json}'
evaluate += ' --protocols knn linear semi_1pct semi_10pct mask_rcnn fcn'
methods = {
    'supervised': ('../benchmarks/supervised/supervised', ''),
    'BYOL': ('../baselines/byol', ''),
    'MoCo v2': ('../baselines/mocov2', ''),
    'LEWEL_M': ('../lewel/lewel-m', 'MoCo v2'),
    'LEWEL_B': ('../lewel/lewel-b', 'BYOL'),
    'SMoG': ('../smog/smog', 'MoCo v2'),
    'MPCL': ('../mpcl/mpcl-mocov2', 'MoCo v2'),
    'MSBReg': ('../msbreg/msbreg-k4', 'BYOL'),
}
rows = [
    dict(
        name='random initialisation',  # prose: ok
        config='../lewel/lewel-b_resnet10_1xb64-24e_garment-scenes.py',
        command=evaluate % '{config}',
    ),
    *[
        dict(name=method, config=path + '_resnet10_1xb64-24e_garment-scenes.py', baseline=baseline)
        for method, (path, baseline) in methods.items()
    ],
]
post = [dict(name='evaluation', command=evaluate % '{checkpoint}')]
baseline = 'BYOL'
metrics = [
    dict(key='evaluation/knn/top1_k5', label='5-NN, %', digits=1),
    dict(key='evaluation/knn/top1_k20', label='20-NN, %', digits=1),
    dict(key='evaluation/knn/top1_k200', label='200-NN, %', digits=1),
    dict(key='evaluation/linear/top1', label='linear, %', digits=1),
    dict(key='evaluation/semi_1pct/top1', label='1 % of labels, %', digits=1),
    dict(key='evaluation/semi_10pct/top1', label='10 % of labels, %', digits=1),
    dict(key='evaluation/mask_rcnn/coco/bbox_mAP', label='box AP', digits=3),
    dict(key='evaluation/mask_rcnn/coco/bbox_mAP_50', label='box AP50', digits=3),
    dict(key='evaluation/mask_rcnn/coco/bbox_mAP_75', label='box AP75', digits=3),
    dict(key='evaluation/mask_rcnn/coco/segm_mAP', label='mask AP', digits=3),
    dict(key='evaluation/fcn/mIoU', label='mIoU, %', digits=1),
]
del evaluate, methods

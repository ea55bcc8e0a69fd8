# All protocols for ImageNet and for transfer from it: frozen features (docs/evaluation.md, without augmentation), 1 %
# and 10 % of the labels as LEWEL, 100 % as SMoG, SVMs on VOC07, Places205 and iNaturalist 2018, detection and
# segmentation. Commands train in one process and scale the rate to its batch. `--protocols` selects some of them. To
# run a recipe on several processes, start it by itself, as docs/evaluation.md and docs/transfer.md describe.
linear = 'linear/lewel-b-linear_8xb32-steplr-50e_in1k.py'
lrs = (0.4, 0.04, 4.0)
knn = dict(k=(1, 5, 20, 200), temperature=0.07)
train = '{{python}} {{tools}}/benchmarks/classification.py {{configs}}/{config} {{checkpoint}} --seed {{seed}}'
train += ' --auto-scale-lr --work-dir {{out}} --json {{json}}'
recipes = dict(
    semi_1pct='semi/lewel-semi-1pct_8xb32-steplr-50e_in1k.py',
    semi_10pct='semi/lewel-semi-10pct_8xb32-steplr-50e_in1k.py',
    semi_100pct='semi/smog-semi-100pct_8xb32-steplr-100e_in1k.py',
    places205='linear/msbreg-linear_8xb32-steplr-28e_places205.py',
    inat18='linear/msbreg-linear_8xb32-steplr-84e_inat18.py',
)
transfer = '{{python}} {{tools}}/transfer.py {{checkpoint}} {{configs}}/{config} --auto-scale-lr --seed {{seed}}'
transfer += ' --work-dir {{out}} --out {{json}} --pictures'
transfers = dict(
    voc_detection='mmdetection/voc0712/faster-rcnn_r50-c4_moco-ms-24k_voc0712.py',
    coco_c4='mmdetection/coco/mask-rcnn_r50-c4_moco-ms-1x_coco.py',
    coco_fpn='mmdetection/coco/mask-rcnn_r50_fpn_moco-ms-1x_coco.py',
    voc_segmentation='mmsegmentation/voc12aug/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py',
    cityscapes='mmsegmentation/cityscapes/fcn_r50-d8_8xb2-20k_cityscapes-769x769.py',
)
commands = [
    *[dict(name=name, command=train.format(config=config)) for name, config in recipes.items()],
    dict(
        name='svm',
        command='{python} {tools}/benchmarks/voc_svm.py {configs}/svm/msbreg-svm_voc07.py {checkpoint} --seed {seed}'
        ' --json {json}',
    ),
    *[dict(name=name, command=transfer.format(config=config)) for name, config in transfers.items()],
]
del train, recipes, transfer, transfers

# The same with detection and segmentation, on scenes with several garments (docs/transfer.md has the command that makes
# them).
_base_ = './evaluation_garment-scenes.py'
commands = _base_.commands + [
    dict(
        name='transfer',
        command='{python} {tools}/transfer.py {checkpoint}'
        ' {configs}/mmdetection/garment-scenes/mask-rcnn_resnet10_fpn_1xb8-6e_garment-scenes.py'
        ' {configs}/mmdetection/garment-scenes/faster-rcnn_resnet10-c4_1xb8-6e_garment-scenes.py'
        ' {configs}/mmsegmentation/garment-scenes/fcn_resnet10-d4_1xb16-600i_garment-scenes.py'
        ' --seed {seed} --work-dir {out} --out {json} --pictures',
    ),
]

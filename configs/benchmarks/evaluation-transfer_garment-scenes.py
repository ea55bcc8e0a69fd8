# evaluation_garment-scenes.py with detection and segmentation, on scenes with several garments. docs/transfer.md has
# the command that makes them.
_base_ = './evaluation_garment-scenes.py'
transfer = '{{python}} {{tools}}/transfer.py {{checkpoint}} {{configs}}/{config} --seed {{seed}} --work-dir {{out}}'
transfer += ' --out {{json}} --pictures'
recipes = dict(
    mask_rcnn='mmdetection/garment-scenes/mask-rcnn_resnet10_fpn_1xb8-6e_garment-scenes.py',
    faster_rcnn='mmdetection/garment-scenes/faster-rcnn_resnet10-c4_1xb8-6e_garment-scenes.py',
    fcn='mmsegmentation/garment-scenes/fcn_resnet10-d4_1xb16-600i_garment-scenes.py',
)
transfers = [dict(name=name, command=transfer.format(config=config)) for name, config in recipes.items()]
commands = _base_.commands + transfers
del transfer, recipes, transfers

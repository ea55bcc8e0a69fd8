# Mask R-CNN, Swin-T, FPN, COCO, 1x: mmdet's recipe. mmpretrain and mmdet use the same names for the tensors of a Swin,
# but in mmdet it has a norm after each stage whose output it returns, and a pretraining only after the last.
_base_ = ['mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py']
model = dict(backbone=dict(convert_weights=False, init_cfg=None))
custom_hooks = [
    dict(
        type='lewel_plugins.StrictPretrainedHook', new_layers=['norm0', 'norm1', 'norm2'], priority='VERY_HIGH'
    )
]

# Mask R-CNN on COCO, 1x (12 epochs of 7,330 steps of 16 images), by MoCo's protocol, which LEWEL and SMoG follow.
_base_ = [
    '../_base_/mask-rcnn_r50_fpn_moco.py',
    '../_base_/coco-instance_ms.py',
    '../_base_/detection_1x.py',
    '../_base_/detection_runtime.py',
]

# Mask R-CNN on COCO, 2x (24 epochs of 7,330 steps of 16 images), by MoCo's protocol, which LEWEL and SMoG follow.
_base_ = [
    '../_base_/mask-rcnn_r50-c4_moco.py',
    '../_base_/coco-instance_ms.py',
    '../_base_/detection_2x.py',
    '../_base_/detection_runtime.py',
]

# Mask R-CNN, R50-C4, COCO, detectron2's 2x, by MoCo's protocol.
_base_ = ['../_base_/mask-rcnn_r50-c4_moco.py', '../_base_/coco-instance_ms.py', '../_base_/detection_180k.py']

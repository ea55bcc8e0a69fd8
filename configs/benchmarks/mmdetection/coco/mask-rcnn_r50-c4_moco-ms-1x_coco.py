# Mask R-CNN, R50-C4, COCO, detectron2's 1x, by MoCo's protocol: LEWEL Sec. 4.3 (which searched the rate of each method
# and prints none) and MPCL Sec. IV-A.
_base_ = ['../_base_/mask-rcnn_r50-c4_moco.py', '../_base_/coco-instance_ms.py', '../_base_/detection_90k.py']

# Mask R-CNN, R50-FPN, COCO, detectron2's 1x, by MoCo's protocol: LEWEL Sec. 4.3 (which searched the rate of each method
# and prints none). SMoG's Table 6 uses this network; the paper prints no recipe.
_base_ = ['../_base_/mask-rcnn_r50_fpn_moco.py', '../_base_/coco-instance_ms.py', '../_base_/detection_90k.py']

# Mask R-CNN, R50-FPN, COCO, detectron2's 1x, by MoCo's protocol: LEWEL Sec. 4.3, which searched the rate of each method,
# with no numbers in the paper. SMoG's Table 6 is of this network; the paper does not give its recipe.
_base_ = ['../_base_/mask-rcnn_r50_fpn_moco.py', '../_base_/coco-instance_ms.py', '../_base_/detection_90k.py']

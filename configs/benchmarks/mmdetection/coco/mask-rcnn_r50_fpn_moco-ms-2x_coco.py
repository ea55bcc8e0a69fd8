# Mask R-CNN, R50-FPN, COCO, detectron2's 2x, by MoCo's protocol (LEWEL's Appendix B.1 has 1x and 2x).
_base_ = ['../_base_/mask-rcnn_r50_fpn_moco.py', '../_base_/coco-instance_ms.py', '../_base_/detection_180k.py']

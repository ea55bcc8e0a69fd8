# Mask R-CNN with the settings of r50-c4_moco.py.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50-caffe-c4.py', './r50-c4_moco.py']
model = _base_.r50_c4

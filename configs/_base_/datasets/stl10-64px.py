# STL-10 by the protocol of W-MSE (Ermolov et al. 2021), whose accuracies MSBReg's Table 1 compares with: pretraining on the
# labeled and the unlabeled images, at 64 px, and 5-NN with Euclidean distances and equal votes. Test images are resized to
# 70 px and cropped to 64 (our choice).
_base_ = './stl10.py'
eval_pipeline = [
    dict(type='lewel_plugins.LoadRGB'),
    dict(type='ResizeEdge', scale=70, edge='short', backend='cv2'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(dataset=dict(split='train+unlabeled')))
bank_dataloader = dict(dataset=dict(pipeline=eval_pipeline))
val_dataloader = dict(dataset=dict(pipeline=eval_pipeline))
val_cfg = dict(bank_dataloader=dict(dataset=dict(pipeline=eval_pipeline)))
val_evaluator = [
    dict(type='lewel_plugins.KNNMetric', k=(5,), temperature=None, distance='euclidean'),
    dict(type='lewel_plugins.RepresentationMetric'),
]
test_dataloader = dict(dataset=dict(pipeline=eval_pipeline))
test_cfg = dict(bank_dataloader=dict(dataset=dict(pipeline=eval_pipeline)))
test_evaluator = val_evaluator

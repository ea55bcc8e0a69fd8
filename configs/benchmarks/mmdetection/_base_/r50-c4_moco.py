# ResNet-50-C4 as in MoCo's transfer protocol (He et al., CVPR 2020): all layers are trained, with SyncBN, and a batch
# norm follows conv5 in the RoI head. Images are RGB, as in pretraining. The stride is where torchvision has it
# ("pytorch"). A recipe merges this into mmdet's Faster R-CNN or Mask R-CNN: model = _base_.r50_c4.
r50_norm = dict(type='SyncBN', requires_grad=True)
r50_c4 = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(frozen_stages=-1, norm_cfg=r50_norm, norm_eval=False, style='pytorch', init_cfg=None),
    roi_head=dict(
        shared_head=dict(
            _delete_=True,
            type='lewel_plugins.ResNetStageHead',
            backbone=dict(type='ResNet', depth=50, norm_cfg=r50_norm, norm_eval=False, style='pytorch'),
            norm_cfg=r50_norm,
        )
    ),
)

"""Model and data of a detector: Mask R-CNN or Faster R-CNN with a feature pyramid."""

from typing import Any

from mmengine.config import Config

from lewel_plugins.planning.settings import Settings

from .loaders import loaders
from .networks import Network
from .written import WrittenLabels

_NARROW = {  # heads of configs/benchmarks/mmdetection/garment-scenes, for images of 64 pixels
    'roi_head.bbox_head.fc_out_channels': 128,
    'roi_head.mask_head.num_convs': 1,
    'roi_head.mask_head.conv_out_channels': 64,
}
_SCALES = 0.8  # shortest side in training over that of the measurement, as 640 over 800 in the recipes
_FIXED_BELOW = 320  # shorter side below which all images have one size
_FINEST_SCALE = 56 / 32  # mmdet's scale of a box on the first level, over the smallest anchor


def detector_model(
    recipe: dict[str, Any], resolved: Settings, network: Network, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return the model of a detector.

    Args:
        recipe: Model of the recipe, Mask R-CNN with a ResNet-50.
        resolved: The plan.
        network: The backbone and its maps.
        classes: Names of the classes.
    """
    has_norm = resolved['batch_norm'] == 'trained'
    strides, width, count = list(network.strides), network.width, len(classes)
    levels = network.level_strides
    options: dict[str, Any] = {
        'backbone': dict(_delete_=True, **network.backbone),
        'neck.in_channels': list(network.channels),
        'neck.out_channels': width,
        'neck.num_outs': len(levels),
        'neck.norm_cfg': dict(_delete_=True, type='BN') if has_norm else None,
        'rpn_head.in_channels': width,
        'rpn_head.feat_channels': width,
        'rpn_head.anchor_generator': _anchors(resolved['anchor'], levels),
        'roi_head.bbox_head.in_channels': width,
        'roi_head.bbox_head.num_classes': count,
        'roi_head.mask_head.in_channels': width,
        'roi_head.mask_head.num_classes': count,
        'data_preprocessor.mean': resolved['mean'],
        'data_preprocessor.std': resolved['std'],
        **(_NARROW if network.is_narrow else {}),
    }
    if network.has_batch_norm:
        options['backbone']['norm_eval'] = not has_norm
    if network.backbone['type'] == 'ResNet':
        options['backbone']['frozen_stages'] = -1
    for extractor in ('bbox_roi_extractor', 'mask_roi_extractor'):
        options[f'roi_head.{extractor}.out_channels'] = width
        options[f'roi_head.{extractor}.featmap_strides'] = strides
        options[f'roi_head.{extractor}.finest_scale'] = round(_FINEST_SCALE * resolved['anchor'])
    config = Config(dict(model=recipe))
    config.merge_from_dict({f'model.{name}': value for name, value in options.items()})
    model = config.model.to_dict()
    return model if resolved['head'] == 'Mask R-CNN' else _without_masks(model)


def _anchors(smallest: int, strides: list[int]) -> dict[str, Any]:
    """Return anchors of one size per level, each twice as large as the one before."""
    return dict(
        _delete_=True,
        type='AnchorGenerator',
        scales=[1.0],
        base_sizes=[smallest * 2**level for level in range(len(strides))],
        ratios=[0.5, 1.0, 2.0],
        strides=strides,
    )


def _without_masks(model: dict[str, Any]) -> dict[str, Any]:
    """Make mmdet's Faster R-CNN of its Mask R-CNN."""
    model['type'] = 'FasterRCNN'
    for name in ('mask_roi_extractor', 'mask_head'):
        model['roi_head'].pop(name)
    model['data_preprocessor'].pop('pad_mask')
    model['train_cfg']['rcnn'].pop('mask_size')
    model['train_cfg']['rcnn']['assigner']['match_low_quality'] = False
    model['test_cfg']['rcnn'].pop('mask_thr_binary')
    return model


def detector_data(resolved: Settings, labels: WrittenLabels) -> dict[str, Any]:
    """Return loaders and evaluators of a detector."""
    has_masks = resolved['head'] == 'Mask R-CNN'
    load = dict(type='lewel_plugins.LoadRGB'), dict(type='LoadAnnotations', with_bbox=True, with_mask=has_masks)
    short, long = resolved['image_size']
    resize = dict(type='Resize', scale=(long, short), keep_ratio=True)
    train = [*load, _train_resize(short, long), dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')]
    # Boxes are loaded after the resize, because they are compared in pixels of the file.
    meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    test = [load[0], resize, load[1], dict(type='PackDetInputs', meta_keys=meta)]
    common = dict(type='CocoDataset', metainfo=dict(classes=labels.classes), data_prefix=dict(img=labels.images))
    negatives = dict(filter_empty_gt=False)
    datasets = (
        dict(common, ann_file=labels.train[0], filter_cfg=negatives, pipeline=train),
        dict(common, ann_file=labels.val[0], test_mode=True, pipeline=test),
    )
    evaluator = dict(type='CocoMetric', ann_file=labels.val[0], metric=['bbox', 'segm'] if has_masks else ['bbox'])
    batch = max(1, resolved['batch_size'] // resolved['ranks'] // resolved['accumulation'])
    return dict(loaders(resolved, *datasets, batch), val_evaluator=evaluator, test_evaluator=evaluator)


def _train_resize(short: int, long: int) -> dict[str, Any]:
    if short < _FIXED_BELOW:
        return dict(type='Resize', scale=(long, short), keep_ratio=True)
    sides = range(32 * round(_SCALES * short / 32), short + 1, 32)
    return dict(type='RandomChoiceResize', scales=[(long, side) for side in sides], keep_ratio=True)

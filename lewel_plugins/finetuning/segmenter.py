"""Model and data of a segmenter: FCN on a dilated backbone."""

from typing import Any

from mmengine.config import Config

from lewel_plugins.planning.settings import Settings

from .loaders import loaders
from .networks import Network
from .written import WrittenLabels

_LARGEST_STRIDE = 8  # stride of a map that is enough for a head; ResNets are dilated to it


def segmenter_model(
    recipe: dict[str, Any], resolved: Settings, network: Network, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return the model of a segmenter.

    Args:
        recipe: Model of the recipe, FCN with a ResNet-50.
        resolved: The plan.
        network: The backbone and its maps.
        classes: Names of the classes.
    """
    side, last = resolved['image_size'][0], len(network.channels) - 1
    norm = dict(_delete_=True, type='BN')  # heads are new and see all pixels of a batch
    options: dict[str, Any] = {
        'backbone': dict(_delete_=True, **network.backbone),
        **_inputs(network),
        'decode_head.channels': network.width,
        'decode_head.num_classes': len(classes),
        'decode_head.norm_cfg': norm,
        'data_preprocessor.mean': resolved['mean'],
        'data_preprocessor.std': resolved['std'],
        'data_preprocessor.size': (side, side),
    }
    if network.has_batch_norm:
        options['backbone']['norm_eval'] = resolved['batch_norm'] == 'frozen'
    if last:
        options |= {
            'auxiliary_head.in_channels': network.channels[-2],
            'auxiliary_head.in_index': last - 1,
            'auxiliary_head.channels': max(64, network.channels[-2] // 4),
            'auxiliary_head.num_classes': len(classes),
            'auxiliary_head.norm_cfg': norm,
        }
    config = Config(dict(model=recipe))
    config.merge_from_dict({f'model.{name}': value for name, value in options.items()})
    return dict(config.model.to_dict(), **({} if last else dict(auxiliary_head=None)))


def _inputs(network: Network) -> dict[str, Any]:
    """Return what the head sees: the last map, or all of them where strides are too large for it alone."""
    if network.strides[-1] <= _LARGEST_STRIDE:
        return {'decode_head.in_channels': network.channels[-1], 'decode_head.in_index': len(network.channels) - 1}
    return {
        'decode_head.in_channels': list(network.channels),
        'decode_head.in_index': list(range(len(network.channels))),
        'decode_head.input_transform': 'resize_concat',
    }


def segmenter_data(resolved: Settings, labels: WrittenLabels) -> dict[str, Any]:
    """Return loaders and evaluators of a segmenter."""
    short, long = resolved['image_size']
    load = dict(type='lewel_plugins.LoadRGB'), dict(type='LoadAnnotations')
    train: list[dict[str, Any]] = [
        *load,
        dict(type='RandomResize', scale=(long, short), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(short, short), cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]
    resize = dict(type='Resize', scale=(long, short), keep_ratio=True)
    # Masks are loaded after the resize, because they are compared in pixels of the file.
    test: list[dict[str, Any]] = [load[0], resize, load[1], dict(type='PackSegInputs')]
    evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    datasets = _dataset(labels, labels.train, train), _dataset(labels, labels.val, test, test_mode=True)
    return dict(loaders(resolved, *datasets, 1), val_evaluator=evaluator, test_evaluator=evaluator)


def _dataset(
    labels: WrittenLabels, lists: tuple[str, ...], pipeline: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Return the dataset of a split: one per pair of extensions, which mmseg wants to know."""
    datasets = [
        dict(
            type='BaseSegDataset',
            metainfo=dict(classes=labels.classes),
            ann_file=file,
            img_suffix=image,
            seg_map_suffix=mask,
            data_prefix=dict(img_path=labels.images, seg_map_path=labels.masks),
            pipeline=pipeline,
            **more,
        )
        for file, (image, mask) in zip(lists, labels.endings(lists))
    ]
    return datasets[0] if len(datasets) == 1 else dict(type='ConcatDataset', datasets=datasets)

"""Batches for detectors and segmenters, with images of the largest size that the pipeline of a config makes."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config

_BOXES = 7  # per image, as on average in COCO


def _pipeline(cfg: Config) -> Any:
    dataset = cfg.train_dataloader.dataset
    while 'pipeline' not in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset['pipeline']


def _values(config: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """Yield the values of some settings, however deep they are."""
    if isinstance(config, dict):
        for name, value in config.items():
            if name in names:
                yield value
            else:
                yield from _values(value, names)
    elif isinstance(config, (list, tuple)):
        for part in config:
            yield from _values(part, names)


class SegmenterBatches:
    """Makes batches for mmseg: crops and their maps of classes.

    Args:
        cfg: The config.
    """

    def __init__(self, cfg: Config) -> None:
        self._height, self._width = next(_values(_pipeline(cfg), ('crop_size',)))

    def batch(self, size: int) -> dict[str, Any]:
        """Return a batch of ``size`` images on the host."""
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        shape = (self._height, self._width)
        samples = []
        for _ in range(size):
            sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, pad_shape=shape))
            sample.gt_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.long))
            samples.append(sample)
        return dict(inputs=[torch.zeros(3, *shape, dtype=torch.uint8) for _ in samples], data_samples=samples)

    def views(self) -> list[int]:
        """Return the width of an image."""
        return [self._width]


class DetectorBatches:
    """Makes batches for mmdet: images of the largest scale, with 7 boxes each, and their masks if the config has any.

    Args:
        cfg: The config.
    """

    def __init__(self, cfg: Config) -> None:
        scales: list[tuple[int, int]] = []
        for value in _values(_pipeline(cfg), ('scale', 'scales', 'img_scale')):
            scales += value if isinstance(value, list) else [value]
        self._width, self._height = (side for side in max(scales, key=lambda scale: scale[0] * scale[1]))
        for nms in _values(cfg.model, ('nms',)):
            nms['split_thr'] = 1 << 30  # else more than 10,000 boxes are split by values, which fake tensors lack
        self._has_masks = 'mask_head' in (cfg.model.get('roi_head') or {})

    def batch(self, size: int) -> dict[str, Any]:
        """Return a batch of ``size`` images on the host."""
        from mmdet.testing import demo_mm_inputs

        shape = (3, self._height, self._width)
        return demo_mm_inputs(size, shape, num_items=[_BOXES] * size, with_mask=self._has_masks)

    def views(self) -> list[int]:
        """Return the width of an image."""
        return [self._width]

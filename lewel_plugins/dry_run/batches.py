"""Batches with the shapes that the training pipeline of a config makes, without its data set."""

import tempfile
from copy import copy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import FUNCTIONS
from torch import Tensor

_PHOTOGRAPH = (375, 500)  # height and width of a typical image of ImageNet
_SIDES = dict(CIFAR10=32, CIFAR100=32, STL10=96)


def innermost_dataset(cfg: Config) -> dict[str, Any]:
    """Return the config of the training set that has the pipeline, inside its wrappers."""
    dataset = cfg.train_dataloader.dataset
    while 'pipeline' not in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


class BatchMaker:
    """Makes batches of one sample that goes through the training pipeline, with the shapes of any number.

    Args:
        cfg: The config.
    """

    def __init__(self, cfg: Config) -> None:
        dataset = innermost_dataset(cfg)
        height, width = _image_size(cfg, dataset)
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'image.png'
            cv2.imwrite(str(path), image)
            item = dict(img_path=str(path), gt_label=0, sample_idx=0)
            sample = Compose(dataset['pipeline'])(item)
        collate = FUNCTIONS.get(cfg.train_dataloader.get('collate_fn', dict(type='default_collate'))['type'])
        self._one = collate([sample])

    def batch(self, size: int) -> dict[str, Any]:
        """Return a batch of ``size`` images on the host."""
        return _resized(self._one, size)

    def views(self) -> list[int]:
        """Return the side of each view that the pipeline makes, or of the image."""
        inputs = self._one['inputs']
        return [x.shape[-1] for x in (inputs if isinstance(inputs, list) else [inputs]) if x.dim() == 4]


def _image_size(cfg: Config, dataset: dict[str, Any]) -> tuple[int, int]:
    side = _SIDES.get(dataset['type'].split('.')[-1])
    preprocessor = cfg.get('data_preprocessor') or cfg.model.get('data_preprocessor') or {}
    if side is None and preprocessor.get('views'):
        side = max(view['size'] for view in preprocessor['views'])
    return (side, side) if side else _PHOTOGRAPH


def _resized(value: Any, size: int) -> Any:
    """Give every tensor and list of samples in a batch of one the size of a batch of ``size``."""
    if isinstance(value, Tensor):
        return torch.empty(size, *value.shape[1:], dtype=value.dtype)
    if isinstance(value, dict):
        return {name: _resized(part, size) for name, part in value.items()}
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor):
        return [_resized(part, size) for part in value]
    if isinstance(value, (list, tuple)):
        return [copy(value[0])] * size  # a list of copies would need more memory than the images
    return value

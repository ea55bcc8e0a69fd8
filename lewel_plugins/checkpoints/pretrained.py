"""Backbones with the weights that come with the package."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader
from PIL.Image import Image
from torch import Tensor

from lewel_plugins.errors import SetupError

from .configs import DEFAULT_SCOPE, backbone_config, normalization
from .loading import build_backbone, load_backbone
from .reading import read_pretrained, read_tensors
from .released import SCHEME, list_pretrained, released_file


@dataclass(frozen=True)
class Preprocess:
    """Convert images to the input that a network had in its training.

    Args:
        mean: Mean of each channel, in the order RGB, on the scale 0–255.
        std: Standard deviation of each channel, likewise.
        size: Side of the square images of the training; None if the file does not record it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int | None = None

    def __call__(self, images: Image | Sequence[Image] | Tensor) -> Tensor:
        """Return normalized images (N, 3, size, size) float32; images of another size are resized.

        Args:
            images: A PIL image or several, or a uint8 tensor in the order RGB, (N, 3, H, W) or (3, H, W).

        Raises:
            ValueError: The tensor has another type or shape.
        """
        if not isinstance(images, Tensor):
            several = [images] if isinstance(images, Image) else images
            return torch.cat([self(_as_tensor(image)) for image in several])
        x = images[None] if images.dim() == 3 else images
        if x.dtype != torch.uint8 or x.dim() != 4 or x.shape[1] != 3:
            raise ValueError(
                'images must be PIL images or a uint8 tensor (N, 3, H, W) of RGB, '
                f'got {str(images.dtype).removeprefix("torch.")} {tuple(images.shape)}'
            )
        x = x.float()
        if self.size is not None and x.shape[2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode='bilinear', antialias=True, align_corners=False)
        mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (x - mean) / std


def _as_tensor(image: Image) -> Tensor:
    if not isinstance(image, Image):
        raise ValueError(f'images must be PIL images or a uint8 tensor (N, 3, H, W), got {type(image).__name__}')
    return torch.from_numpy(np.array(image.convert('RGB'))).permute(2, 0, 1)


def load_pretrained(name: str | Path) -> Any:
    """Return a backbone with pretrained weights, on the CPU and in eval mode.

    It is the network of OpenMMLab, which maps (N, 3, H, W) to a tuple of maps. Its attribute ``preprocess`` converts
    images to its input, see :class:`Preprocess`::

        backbone = lewel_plugins.load_pretrained('NAME')
        features = backbone(backbone.preprocess(images))[-1].mean((2, 3))

    Args:
        name: One of :func:`list_pretrained`, or a file that tools/export_backbone.py has written for ``openmmlab`` or
            ``safetensors``.

    Raises:
        SetupError: There is neither such a name nor such a file, or the file is damaged, does not hold the tensors of
            the network that it names, or does not record how images were normalized.
    """
    is_file = str(name) not in list_pretrained() and Path(name).is_file()
    if not is_file and (Path(name).suffix or Path(name).name != str(name)) and not str(name).startswith(SCHEME):
        raise SetupError(f'{name} is a folder; name a file' if Path(name).is_dir() else f'{name} does not exist')
    path = Path(name) if is_file else released_file(str(name).removeprefix(SCHEME))
    checkpoint = read_tensors(path)
    settings = backbone_config(checkpoint, path)
    with DefaultScope.overwrite_default_scope(DEFAULT_SCOPE):
        backbone = build_backbone(settings, path)
    load_backbone(backbone, path)
    backbone.eval()  # some of OpenMMLab's overrides of eval() do not return the network
    backbone.preprocess = _preprocess(checkpoint, path)
    return backbone


def _preprocess(checkpoint: dict[str, Any], path: Path) -> Preprocess:
    values, meta = normalization(checkpoint), checkpoint['meta']
    preprocessor, size = meta.get('data_preprocessor'), meta.get('input_size')
    if values is None or any(len(values[name]) != 3 for name in ('mean', 'std')):
        raise SetupError(f'{path} does not record the mean and std of three channels')
    if not isinstance(preprocessor, dict) or preprocessor.get('to_rgb') is not True:
        raise SetupError(f'{path} does not record to_rgb=True, so the order of its channels is not known')
    if size is not None and (type(size) is not int or size < 1):
        raise SetupError(f'{path} records the input size {size!r}, which is no number of pixels')
    return Preprocess(tuple(values['mean']), tuple(values['std']), size)


def load_from_lewel_plugins(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read ``lewel_plugins://NAME`` on the CPU, for ``init_cfg=dict(type='Pretrained', …)`` of any module."""
    return read_pretrained(filename)[0]


CheckpointLoader.register_scheme(SCHEME, load_from_lewel_plugins, force=True)

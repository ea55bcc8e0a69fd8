"""The backbones that a detector or a segmenter can have, and their feature maps."""

from dataclasses import dataclass
from typing import Any

from lewel_plugins.errors import SetupError


@dataclass(frozen=True)
class Network:
    """A backbone in a detector or a segmenter.

    Args:
        backbone: Its config.
        strides: Strides of the maps that it returns.
        channels: Their channels.
        width: Channels of the feature pyramid, or of the segmenter's head.
        num_levels: Levels of the feature pyramid; those beyond the maps are made by pooling.
        image_size: Shorter and longer side of an image whose memory is known.
        image_gib: Memory in GiB that each image of this size takes in training.
        fixed_gib: Memory in GiB without any image.
        optimizer: ``sgd``, or ``adamw`` for a transformer.
        new_layers: Layers that a pretraining does not have.
    """

    backbone: dict[str, Any]
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    width: int
    num_levels: int
    image_size: tuple[int, int]
    image_gib: float
    fixed_gib: float
    optimizer: str = 'sgd'
    new_layers: tuple[str, ...] = ()

    @property
    def has_batch_norm(self) -> bool:
        """Whether its norms depend on the batch."""
        return self.optimizer == 'sgd'

    @property
    def level_strides(self) -> list[int]:
        """Strides of the levels of the feature pyramid."""
        extra = range(1, self.num_levels - len(self.strides) + 1)
        return [*self.strides, *(self.strides[-1] * 2**i for i in extra)]

    @property
    def is_narrow(self) -> bool:
        """Whether heads are those of the recipes for ResNet-10."""
        return self.channels[-1] < 512


_CHANNELS = {18: (64, 128, 256, 512), 34: (64, 128, 256, 512), 50: (256, 512, 1024, 2048), 101: (256, 512, 1024, 2048)}
_DETECTOR_GIB: dict[Any, float] = {
    18: 1.3,
    34: 1.7,
    50: 2.9,
    101: 4.2,
    'swin-tiny': 3.5,
    'swin-small': 5.5,
}  # per image of 800 × 1333 px
_SEGMENTER_GIB: dict[Any, float] = {
    18: 0.6,
    34: 1.0,
    50: 1.7,
    101: 2.8,
    'swin-tiny': 1.2,
    'swin-small': 2.0,
}  # per crop of 512 px
_FIXED_GIB = {18: 0.6, 34: 0.8, 50: 0.9, 101: 1.2}


def _detectors() -> dict[tuple[str, str], Network]:
    size = (800, 1333)
    networks = {}
    for depth, channels in _CHANNELS.items():
        standard = dict(type='ResNet', depth=depth, num_stages=4, out_indices=(0, 1, 2, 3), style='pytorch')
        memory = (size, _DETECTOR_GIB[depth], _FIXED_GIB[depth])
        networks[f'resnet{depth}', 'standard'] = Network(standard, (4, 8, 16, 32), channels, 256, 5, *memory)
        # The maps of strides 1 and 2 would be too large for a detector.
        small = dict(type='mmpretrain.ResNet_CIFAR', depth=depth, out_indices=(2, 3))
        memory = (size, 8 * _DETECTOR_GIB[depth], _FIXED_GIB[depth])
        networks[f'resnet{depth}', '3 × 3'] = Network(small, (4, 8), channels[2:], 256, 4, *memory)
    ten = dict(type='lewel_plugins.ResNet10', out_indices=(1, 2, 3))
    networks['resnet10', 'standard'] = Network(ten, (4, 8, 8), (32, 64, 128), 64, 4, size, 0.8, 0.5)
    return {**networks, **_swins(256, 5, size, _DETECTOR_GIB)}


def _segmenters() -> dict[tuple[str, str], Network]:
    size = (512, 512)
    networks = {}
    for depth, channels in _CHANNELS.items():
        plain = dict(depth=depth, num_stages=4, out_indices=(0, 1, 2, 3), style='pytorch')
        dilated = dict(dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), contract_dilation=True)
        standard = dict(type='ResNet', **plain, **dilated)
        width = channels[-1] // 4
        memory = (size, _SEGMENTER_GIB[depth], _FIXED_GIB[depth])
        networks[f'resnet{depth}', 'standard'] = Network(standard, (4, 8, 8, 8), channels, width, 0, *memory)
        small = dict(type='mmpretrain.ResNet_CIFAR', **plain, dilations=(1, 1, 1, 2), strides=(1, 2, 2, 1))
        memory = (size, 6 * _SEGMENTER_GIB[depth], _FIXED_GIB[depth])
        networks[f'resnet{depth}', '3 × 3'] = Network(small, (1, 2, 4, 4), channels, width, 0, *memory)
    ten = dict(type='lewel_plugins.ResNet10', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 2))
    networks['resnet10', 'standard'] = Network(ten, (4,), (128,), 64, 0, size, 0.4, 0.5)
    return {**networks, **_swins(256, 0, size, _SEGMENTER_GIB)}


def _swins(width: int, levels: int, size: tuple[int, int], memory: dict[Any, float]) -> dict[tuple[str, str], Network]:
    """Return Swins, which mmdet and mmseg build alike, with a norm after each stage instead of only the last."""
    networks = {}
    for name, blocks in (('swin-tiny', 6), ('swin-small', 18)):
        backbone = dict(
            type='SwinTransformer',
            embed_dims=96,
            depths=(2, 2, blocks, 2),
            num_heads=(3, 6, 12, 24),
            window_size=7,
            drop_path_rate=0.2,
            out_indices=(0, 1, 2, 3),
        )
        networks[name, 'standard'] = Network(
            backbone, (4, 8, 16, 32), (96, 192, 384, 768), width, levels, size, memory[name], 1.2, 'adamw',
            ('norm0', 'norm1', 'norm2'),
        )  # fmt: skip
    return networks


NETWORKS = {'detector': _detectors(), 'segmenter': _segmenters()}


def find_network(task: str, backbone: str, stem: str) -> Network:
    """Return the network of a task.

    Args:
        task: ``detector`` or ``segmenter``.
        backbone: Name of the backbone.
        stem: ``standard`` or ``3 × 3``.

    Raises:
        SetupError: The task has none with this backbone. Names those that it has.
    """
    networks = NETWORKS[task]
    if (backbone, stem) not in networks:
        names = ', '.join(name for name, kind in networks if kind == 'standard')
        raise SetupError(f'a {task} cannot start from {backbone} here; the backbones are {names}')
    return networks[backbone, stem]

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
# GiB per image of 800 × 1333 px in a detector, and per crop of 512 px in a segmenter, by tools/dry_run.py with batches
# of 2 and 4 on a GPU that is not there, margins included; small stems of ResNet-34 and 101 in proportion.
_GIB = {
    ('resnet10', 'standard'): (0.4, 0.25),
    ('resnet18', 'standard'): (1.25, 0.35),
    ('resnet34', 'standard'): (1.45, 0.5),
    ('resnet50', 'standard'): (2.65, 1.25),
    ('resnet101', 'standard'): (3.55, 2.1),
    ('resnet18', '3 × 3'): (5.85, 1.7),
    ('resnet34', '3 × 3'): (6.8, 2.4),
    ('resnet50', '3 × 3'): (28.2, 8.25),
    ('resnet101', '3 × 3'): (37.8, 13.9),
    ('swin-tiny', 'standard'): (3.05, 1.05),
    ('swin-small', 'standard'): (4.5, 1.4),
}
_FIXED_GIB = 4.6, 2.7


def _detectors() -> dict[tuple[str, str], Network]:
    networks = {}

    def add(name: str, stem: str, backbone: dict[str, Any], maps: tuple[Any, Any], width: int, levels: int) -> None:
        gib = _GIB[name, stem][0]
        networks[name, stem] = Network(backbone, *maps, width, levels, (800, 1333), gib, _FIXED_GIB[0])

    add('resnet10', 'standard', dict(type='lewel_plugins.ResNet10', out_indices=(1, 2, 3)),
        ((4, 8, 8), (32, 64, 128)), 64, 4)  # fmt: skip
    for depth, channels in _CHANNELS.items():
        plain = dict(type='ResNet', depth=depth, num_stages=4, out_indices=(0, 1, 2, 3), style='pytorch')
        add(f'resnet{depth}', 'standard', plain, ((4, 8, 16, 32), channels), 256, 5)
        # The maps of strides 1 and 2 would be too large for a detector.
        small = dict(type='mmpretrain.ResNet_CIFAR', depth=depth, out_indices=(2, 3))
        add(f'resnet{depth}', '3 × 3', small, ((4, 8), channels[2:]), 256, 4)
    return {**networks, **_swins(0, 5, (800, 1333))}


def _segmenters() -> dict[tuple[str, str], Network]:
    networks = {}

    def add(name: str, stem: str, backbone: dict[str, Any], maps: tuple[Any, Any], width: int) -> None:
        networks[name, stem] = Network(backbone, *maps, width, 0, (512, 512), _GIB[name, stem][1], _FIXED_GIB[1])

    ten = dict(type='lewel_plugins.ResNet10', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 2))
    add('resnet10', 'standard', ten, ((4,), (128,)), 64)
    for depth, channels in _CHANNELS.items():
        plain = dict(depth=depth, num_stages=4, out_indices=(0, 1, 2, 3), style='pytorch')
        dilated = dict(dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), contract_dilation=True)
        width = channels[-1] // 4
        add(f'resnet{depth}', 'standard', dict(type='ResNet', **plain, **dilated), ((4, 8, 8, 8), channels), width)
        dilated = dict(dilations=(1, 1, 1, 2), strides=(1, 2, 2, 1))
        small = dict(type='mmpretrain.ResNet_CIFAR', **plain, **dilated)
        add(f'resnet{depth}', '3 × 3', small, ((1, 2, 4, 4), channels), width)
    return {**networks, **_swins(1, 0, (512, 512))}


def _swins(task: int, levels: int, size: tuple[int, int]) -> dict[tuple[str, str], Network]:
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
        maps = (4, 8, 16, 32), (96, 192, 384, 768)
        gib, fixed, new = _GIB[name, 'standard'][task], _FIXED_GIB[task], ('norm0', 'norm1', 'norm2')
        networks[name, 'standard'] = Network(backbone, *maps, 256, levels, size, gib, fixed, 'adamw', new)
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

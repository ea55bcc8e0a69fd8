"""The backbones by the names that a user types."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lewel_plugins.errors import SetupError


@dataclass(frozen=True)
class Backbone:
    """A backbone.

    Args:
        name: What the user types.
        config: Its config.
        channels: Channels of its last feature.
        has_map: Whether it returns a feature map, which LEWEL needs.
        small_stem: Config of the same network with a 3 × 3 stem without pooling, for small images; None without one.
    """

    name: str
    config: dict[str, Any]
    channels: int
    has_map: bool = True
    small_stem: dict[str, Any] | None = None


def _resnet(depth: int, channels: int) -> Backbone:
    settings = dict(depth=depth, norm_cfg=dict(type='BN'))
    return Backbone(
        f'resnet{depth}', dict(type='ResNet', **settings), channels, small_stem=dict(type='ResNet_CIFAR', **settings)
    )


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone('resnet10', dict(type='lewel_plugins.ResNet10'), 128),
        _resnet(18, 512),
        _resnet(34, 512),
        _resnet(50, 2048),
        _resnet(101, 2048),
        Backbone('swin-tiny', dict(type='SwinTransformer', arch='tiny'), 768),
        Backbone('swin-small', dict(type='SwinTransformer', arch='small'), 768),
        Backbone('convnext-tiny', dict(type='ConvNeXt', arch='tiny', gap_before_final_norm=False), 768),
        Backbone('vit-small', dict(type='MoCoV3ViT', arch='mocov3-small'), 384, has_map=False),
    )
}


def name_of(settings: Mapping[str, Any], name: str) -> str:
    """Return the name of the backbone of a config, whatever its stem.

    Args:
        settings: The config.
        name: How the user named it, for the error.

    Raises:
        SetupError: It is none of :data:`BACKBONES`.
    """

    def key(config: Mapping[str, Any]) -> tuple:
        kind = str(config.get('type')).removeprefix('mmpretrain.').removesuffix('_CIFAR')
        return kind, config.get('depth'), config.get('arch')

    for backbone in BACKBONES.values():
        if key(backbone.config) == key(settings):
            return backbone.name
    text = ' '.join(str(value) for value in key(settings) if value is not None)
    raise SetupError(f'{name} holds a {text}; --from takes weights of {", ".join(BACKBONES)}')


def find_backbone(name: str) -> Backbone:
    """Return the backbone of a name.

    Raises:
        SetupError: There is none; the message has the nearest name.
    """
    if name not in BACKBONES:
        near = get_close_matches(name.lower().replace('_', '-'), BACKBONES, n=1, cutoff=0.5)
        hint = f'did you mean {near[0]}?' if near else f'choose one of {", ".join(BACKBONES)}'
        raise SetupError(f'unknown backbone {name!r}; {hint}')
    return BACKBONES[name]

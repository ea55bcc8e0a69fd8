"""The backbones by the names that a user types."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lewel_plugins.errors import SetupError

SMALL = '3 × 3'  # the stem of small_stem
LIBRARIES = ('timm:', 'mmpretrain:')  # before the name of a model of theirs


@dataclass(frozen=True)
class Backbone:
    """A backbone.

    Args:
        name: What the user types.
        config: Its config.
        channels: Channels of its last feature.
        has_map: Whether it returns a feature map. Without one, it has positions for one size of image.
        small_stem: Config of the same network with a 3 × 3 stem without pooling, for small images; None without one.
        has_batch_norm: Whether it has batch norm. Without it, it is trained by AdamW.
    """

    name: str
    config: dict[str, Any]
    channels: int
    has_map: bool = True
    small_stem: dict[str, Any] | None = None
    has_batch_norm: bool = True


def _resnet(depth: int, channels: int) -> Backbone:
    settings = dict(depth=depth, norm_cfg=dict(type='BN'))
    return Backbone(
        f'resnet{depth}', dict(type='ResNet', **settings), channels, small_stem=dict(type='ResNet_CIFAR', **settings)
    )


def _swin(arch: str) -> Backbone:
    # Below 224 px, the last map is smaller than a window.
    return Backbone(
        f'swin-{arch}', dict(type='SwinTransformer', arch=arch, pad_small_map=True), 768, has_batch_norm=False
    )


_CONVNEXT_TINY = dict(type='ConvNeXt', arch='tiny', gap_before_final_norm=False)
# As in configs/_base_/models/mpcl-mocov3_vit-small-p16.py.
_VIT_SMALL = dict(type='MoCoV3ViT', arch='mocov3-small', patch_size=16, stop_grad_conv1=True)
BACKBONES = {
    backbone.name: backbone
    for backbone in (
        Backbone('resnet10', dict(type='lewel_plugins.ResNet10'), 128),
        _resnet(18, 512),
        _resnet(34, 512),
        _resnet(50, 2048),
        _resnet(101, 2048),
        _swin('tiny'),
        _swin('small'),
        Backbone('convnext-tiny', _CONVNEXT_TINY, 768, has_batch_norm=False),
        Backbone('vit-small', _VIT_SMALL, 384, has_map=False, has_batch_norm=False),
    )
}


def name_of(settings: Mapping[str, Any], name: str, requested: str | None = None) -> str:
    """Return the name of the backbone of a config, whatever its stem.

    Args:
        settings: The config.
        name: How the user named it, for the error.
        requested: The backbone that the user has named, or '': the config of a model of mmpretrain's zoo does not hold
            its name. None where such a backbone is not taken.

    Raises:
        SetupError: It is none of :data:`BACKBONES` and of timm, and not the one of mmpretrain that the user has named.
    """

    def key(config: Mapping[str, Any]) -> tuple:
        kind = str(config.get('type')).removeprefix('mmpretrain.').removesuffix('_CIFAR')
        return kind, config.get('depth'), config.get('arch')

    for backbone in BACKBONES.values():
        if key(backbone.config) == key(settings):
            return backbone.name
    if key(settings)[0] == 'TIMMBackbone':
        return f'timm:{settings["model_name"]}'
    if requested and requested.startswith('mmpretrain:') and _describes(find_backbone(requested).config, settings):
        return requested
    text = ' '.join(str(value) for value in key(settings) if value is not None)
    zoo = '' if requested is None else ", and of a model of mmpretrain's zoo that --backbone mmpretrain:MODEL names"
    raise SetupError(f'{name} holds a {text}; --from takes weights of {", ".join(BACKBONES)}, of models of timm{zoo}')


def _describes(config: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    return all(plain(settings.get(key)) == plain(value) for key, value in config.items())


def stem_of(settings: Mapping[str, Any]) -> str:
    """Return the stem of the backbone of a config: ``3 × 3``, for small images, or ``standard``."""
    return SMALL if str(settings['type']).endswith('_CIFAR') else 'standard'


def find_backbone(name: str) -> Backbone:
    """Return the backbone of a name: one of :data:`BACKBONES`, or a model of another library as in :mod:`.zoo`.

    Raises:
        SetupError: There is none; the message has the nearest name. Or it returns no map of features.
    """
    if isinstance(name, str) and name.startswith(LIBRARIES):
        from .zoo import zoo_backbone  # imports torch, which other names do not wait for

        return zoo_backbone(name)
    if not isinstance(name, str) or name not in BACKBONES:
        near = get_close_matches(str(name).lower().replace('_', '-'), BACKBONES, n=1, cutoff=0.5)
        hint = (
            f'did you mean {near[0]}?'
            if near
            else f'choose one of {", ".join(BACKBONES)}, timm:MODEL, mmpretrain:MODEL'
        )
        raise SetupError(f'unknown backbone {name!r}; {hint}')
    return BACKBONES[name]

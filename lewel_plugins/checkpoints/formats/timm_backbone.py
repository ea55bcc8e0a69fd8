"""Networks of timm behind mmpretrain's wrapper: without its prefix, the names of their tensors are timm's own."""

from typing import Any

from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .base import Format
from .name_map import NameMap


def _require(backbone: Any) -> None:
    if not hasattr(backbone.timm_model, 'reset_classifier'):
        raise SetupError('the backbone has no equivalent: features_only=True (accepted: False)')


def _build(backbone: Any) -> nn.Module:
    import timm

    network = timm.create_model(backbone.timm_model.pretrained_cfg['architecture'])
    network.reset_classifier(0, '')  # type: ignore[operator]
    return network


def _features(network: nn.Module, images: Tensor) -> Tensor:
    return network(images)


def _reference(backbone: nn.Module, images: Tensor) -> Tensor:
    return backbone(images)[-1]


TIMM_FORMATS = {
    'timm': Format(_require, _build, _features, _reference, names=NameMap([('timm_model.{w}', '{w}')])),
}

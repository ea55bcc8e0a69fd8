"""Backbones of timm and of mmpretrain's model zoo, by their names there."""

import functools
import logging
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.logs import without_log

from .backbones import Backbone

SIDE = 224  # pixels of the images on which a backbone is tried
_NOT_OURS = ('init_cfg', 'frozen_stages', 'norm_eval')  # settings of a recipe for fine-tuning


@functools.cache
def zoo_backbone(name: str) -> Backbone:
    """Return a backbone of another library, after it has been built once and applied to images without content.

    Args:
        name: ``timm:MODEL``, or ``mmpretrain:MODEL`` with a name of mmpretrain's model zoo.

    Raises:
        SetupError: The library is not installed, has no such model, or the model returns no map of features.
    """
    library, _, model = name.partition(':')
    config = {'timm': _timm_config, 'mmpretrain': _mmpretrain_config}[library](model)
    shape, has_batch_norm = _try(name, config, SIDE)
    return Backbone(name, config, shape[1], has_batch_norm=has_batch_norm)


def check_side(backbone: Backbone, side: int) -> None:
    """Refuse a size of views that a backbone does not take.

    Raises:
        SetupError: It raises an error for such images, which the message quotes.
    """
    _tried(backbone.name, side)


@functools.cache
def _tried(name: str, side: int) -> None:  # once, although a plan is made several times
    _try(name, zoo_backbone(name).config, side)


def _timm_config(model: str) -> dict[str, Any]:
    if find_spec('timm') is None:
        raise SetupError('--backbone timm:… needs timm, which is not installed: pip install timm')
    import timm

    if not timm.is_model(model):
        raise SetupError(f'timm has no model {model!r}; {_hint(model, timm.list_models)}')
    return dict(type='TIMMBackbone', model_name=model)


def _mmpretrain_config(model: str) -> dict[str, Any]:
    from mmpretrain.apis.model import ModelHub, list_models

    with without_log(logging.WARNING):
        try:
            config = ModelHub.get(model).config.model.to_dict()
        except ValueError:
            raise SetupError(f"mmpretrain's zoo has no model {model!r}; {_hint(model, list_models)}") from None
    backbone = config.get('backbone')
    if not isinstance(backbone, dict):
        raise SetupError(f'mmpretrain:{model} has no backbone of its own, but a {config.get("type")}')
    config = {key: value for key, value in backbone.items() if key not in _NOT_OURS}
    if config['type'].endswith('ConvNeXt'):
        config['gap_before_final_norm'] = False  # the average would leave a vector
    return config


def _hint(model: str, list_models: Callable[[], Sequence[str]]) -> str:
    near = get_close_matches(model, list_models(), n=3, cutoff=0.6)
    return f'did you mean {" or ".join(near)}?' if near else 'its list_models() returns all names'


def _try(name: str, config: dict[str, Any], side: int) -> tuple[tuple[int, ...], bool]:
    """Return the shape (N, C, H, W) of a backbone's last feature, and whether the backbone has batch norm.

    Raises:
        SetupError: The backbone takes no images of this size, or returns something else.
    """
    import torch
    from mmengine.registry import MODELS, DefaultScope
    from torch.nn.modules.batchnorm import _BatchNorm

    with without_log(logging.WARNING), torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            with DefaultScope.overwrite_default_scope('mmpretrain'):
                backbone = MODELS.build(dict(config))
            backbone.eval()
            has_batch_norm = any(isinstance(module, _BatchNorm) for module in backbone.modules())
            output = backbone.to('meta')(torch.empty(2, 3, side, side, device='meta'))
        except Exception as error:  # the error of any library, for an argument or a size
            reason = ' '.join(str(error).split())[:200] or type(error).__name__
            raise SetupError(f'{name} does not take views of {side} px: {reason}') from None
    last = output[-1] if isinstance(output, (list, tuple)) else output
    shape = tuple(getattr(last, 'shape', ()))
    # Channels that come last would make rows of the channels: some transformers of timm return them so.
    is_map = len(shape) == 4 and shape[2] == shape[3]
    if not is_map or (side == SIDE and shape[2] == 1):
        raise SetupError(
            f'{name} returns features of shape {shape} for two images of {side} px, not a map (2, channels, rows, '
            'columns); transformers are swin-tiny, swin-small and vit-small'
        )
    return shape, has_batch_norm

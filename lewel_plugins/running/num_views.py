"""The number of views K of an MSBReg recipe, which the option ``num_views`` changes together with the rate.

mmengine merges options into a config after its file has run, so that an option cannot change what the file computes
from a variable. In MSBReg, K is the number of views that the pipeline makes, and the rate is in proportion to it (Sec.
7.1). A recipe computes both from its variables ``num_views`` and ``base_lr``; here, the option does the same.
"""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError

_MODEL = 'lewel_plugins.MSBReg'
_PIPELINE = 'train_dataloader.dataset.dataset.pipeline'
_RATE = 'optim_wrapper.optimizer.lr'


def expand_num_views(cfg: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which ``num_views`` stands for all settings of the recipe that follow from K.

    Args:
        cfg: The config, before the options are merged.
        options: Overrides with dotted keys. A rate among them takes precedence over that of K.

    Raises:
        SetupError: The config is no MSBReg recipe, its views differ, or K is no integer of at least 2.
    """
    K = options.get('num_views')
    if K is None or ('num_views' in cfg and not _is_msbreg(cfg)):
        return dict(options)
    if not _is_msbreg(cfg):
        raise SetupError(f'num_views={K}: only recipes of {_MODEL} have this option, not one of {_model_type(cfg)}')
    if not isinstance(K, int) or K < 2:
        raise SetupError(f'num_views must be an integer of at least 2, got {K!r}')
    expanded = {key: value for key, value in options.items() if key != 'num_views' or 'num_views' in cfg}
    expanded.update(_views(cfg, K))
    optimizer = options.get(_RATE.rpartition('.')[0]) or {}
    if 'base_lr' in cfg and _RATE not in options and 'lr' not in optimizer:
        expanded[_RATE] = rate(cfg.base_lr, cfg.auto_scale_lr.base_batch_size, K)
    return expanded


def rate(base_lr: float, batch_size: int, K: int) -> float:
    """Return the rate for a batch and a number of views: base_lr × batch_size / 256 × K. MSBReg, Sec. 7.1."""
    return base_lr * batch_size / 256 * K


def check_num_views(cfg: Config) -> None:
    """Raise SetupError if a recipe's pipeline makes another number of views than its rate was set for."""
    K = cfg.get('num_views')
    if K is None or not _is_msbreg(cfg):
        return
    number = _number_of_views(cfg)
    if number != K:
        raise SetupError(
            f'the recipe is for num_views = {K}, which its rate follows, but its pipeline makes {number} views: set '
            f'only --cfg-options num_views={number}, which changes pipeline and rate'
        )


def _views(cfg: Config, K: int) -> dict[str, Any]:
    """Return the options that make K views of the kind that the recipe has."""
    on_device = (cfg.get('data_preprocessor') or {}).get('views')
    index, load = (0, {}) if on_device else _loading_step(cfg)
    kinds = on_device or load['views']
    if any(kind != kinds[0] for kind in kinds):
        raise SetupError(f'num_views={K}: the recipe makes views of different kinds, so their number is not K alone')
    if on_device:
        return {'data_preprocessor.views': [kinds[0]] * K}
    one_kind = {f'{_PIPELINE}.{index}.views': [kinds[0]]} if len(kinds) > 1 else {}  # the step makes K of each kind
    return {**one_kind, f'{_PIPELINE}.{index}.num_views': K}


def _number_of_views(cfg: Config) -> int:
    on_device = (cfg.get('data_preprocessor') or {}).get('views')
    if on_device:
        return len(on_device)
    _, load = _loading_step(cfg)
    counts = load.get('num_views', 1)
    return counts * len(load.views) if isinstance(counts, int) else sum(counts)


def _loading_step(cfg: Config) -> tuple[int, Any]:
    """Return position and config of the step of the training pipeline that makes the views."""
    steps = cfg.train_dataloader.dataset.dataset.pipeline
    for index, step in enumerate(steps):
        if 'views' in step:
            return index, step
    raise SetupError('num_views: neither data_preprocessor nor the training pipeline of the config has views')


def _is_msbreg(cfg: Config) -> bool:
    return _model_type(cfg) == _MODEL


def _model_type(cfg: Config) -> str:
    return str((cfg.get('model') or {}).get('type'))

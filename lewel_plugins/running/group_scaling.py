"""SMoG's settings at another batch size, for ``--auto-scale-lr``."""

import math
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from lewel_plugins.models.group_schedule import GroupSchedule, scale_to_batch

_DEFAULTS = GroupSchedule(interval=300, momentum=0.001, num_groups=3000, end_beta=0.99)


def scale_groups(cfg: Config, processes: int) -> str | None:
    """Set the SMoG settings of a config that depend on the batch, by the ratios that they have at its base batch size.

    The recipe's settings are taken to be without gradient accumulation. Other methods, and SMoG at its base batch size
    without accumulation, stay as they are.

    Args:
        cfg: The config, with ``auto_scale_lr.base_batch_size``, which is changed.
        processes: Number of ranks.

    Returns:
        A line that names the new settings; None if nothing has changed.
    """
    hooks = [hook for hook in cfg.get('custom_hooks') or [] if _is(hook, 'SMoGResetHook')]
    if not _is(cfg.get('model') or {}, 'SMoG') or not hooks:
        return None
    base, iterations = cfg.auto_scale_lr.base_batch_size, iterations_per_step(cfg)
    batch_size = processes * cfg.train_dataloader.batch_size * iterations
    if batch_size == base and iterations == 1:
        return None
    model, (hook, *_) = cfg.model, hooks
    before = GroupSchedule(
        hook.get('interval', _DEFAULTS.interval),
        model.get('momentum', _DEFAULTS.momentum),
        model.head.get('num_groups', _DEFAULTS.num_groups),
        model.head.get('end_beta', _DEFAULTS.end_beta),
    )
    after = scale_to_batch(before, base, batch_size, iterations)
    if after == before:
        return None
    settings: dict[str, Any] = after._asdict()
    if hook.get('window') is not None:
        share = hook.window / before.interval
        hook.window = settings['window'] = min(after.interval, math.ceil(share * after.interval))
    hook.interval, model.momentum = after.interval, after.momentum
    model.head.num_groups, model.head.end_beta = after.num_groups, after.end_beta
    values = ', '.join(f'{name} {value}' for name, value in settings.items())
    images = f'{batch_size} instead of {base}' if batch_size != base else f'{batch_size}'
    accumulated = f' in {iterations} iterations' if iterations > 1 else ''
    return f'SMoG with {images} images per step{accumulated}: {values}'


def iterations_per_step(cfg: Config) -> int:
    """Return the number of iterations whose gradients an optimizer step of a config accumulates."""
    return (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def _is(settings: Mapping[str, Any], name: str) -> bool:
    return settings.get('type') == f'lewel_plugins.{name}'

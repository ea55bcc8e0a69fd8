"""What the rows of a comparison resolve to, without running them."""

import os

from mmengine.config import Config

from lewel_plugins.errors import SetupError

from .run import recipe_processes, resolved_configs
from .spec import Comparison, Row


def list_rows(comparison: Comparison) -> list[str]:
    """Return the rows of a comparison with their configs, options and commands, as lines of text.

    Raises:
        SetupError: A config cannot be read, or the options do not fit it.
    """
    configs = resolved_configs(comparison)
    seeds = ', '.join(map(str, comparison.seeds))
    lines = [f'{comparison.name}: {comparison.title}', f'{len(comparison.rows)} rows, seeds {seeds}', '']
    for row in comparison.rows:
        lines += [row.name, f'  {os.path.relpath(row.config)}', *_training(row, configs[row.name])]
        lines += [f'  {name}={value!r}' for name, value in row.options.items()]
        lines += [f'  then {post.name}' for post in comparison.post if not post.rows or row.name in post.rows]
    for post in comparison.post:
        lines += ['', f'{post.name}:', f'  {" ".join(post.command)}']
    return lines


def _training(row: Row, config: Config) -> list[str]:
    """Return batch, length and optimizer of a row, or its command."""
    if row.command:
        return [f'  command: {" ".join(row.command)}']
    optimizer = config.optim_wrapper.optimizer
    train_cfg = config.train_cfg
    length = f'{train_cfg.max_epochs} epochs' if 'max_epochs' in train_cfg else f'{train_cfg.max_iters} steps'
    try:
        processes = str(recipe_processes(config))
    except SetupError:  # a row may change the batch on purpose
        processes = '?'
    batch = f'{processes} × {config.train_dataloader.batch_size} images'
    return [f'  {batch}, {length}, {optimizer.type.rpartition(".")[2]}, rate {optimizer.lr:g}']

"""The command line of ``tools/dry_run.py``."""

import argparse
import gc
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lewel_plugins.comparison.run import recipe_processes
from lewel_plugins.errors import SetupError
from lewel_plugins.logs import without_log
from lewel_plugins.running.command_line import add_config_options, merge_options
from lewel_plugins.running.group_scaling import iterations_per_step
from lewel_plugins.running.num_views import expand_num_views
from lewel_plugins.running.setup import load_config

from . import report
from .errors import StepError
from .gpus import GPU, GPUS, find_gpu
from .largest_batch import find_largest_batch
from .step import DryRun


def parse_args(argv: list[str] | None = None, description: str | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files of pretraining')
    parser.add_argument('--gpus', type=int, help="number of GPUs (default: the recipe's own, else 8)")
    parser.add_argument('--gpu', default='h100', metavar='NAME', help=f'one of {", ".join(GPUS)} (default: h100)')
    parser.add_argument('--memory', type=float, metavar='GIB', help='memory of a GPU (default: that of --gpu)')
    parser.add_argument('--largest-batch', action='store_true', help='search for the largest batch that fits')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the reports to a file')
    parser.add_argument('--markdown', type=Path, metavar='FILE', help='write a page with a table to a file')
    add_config_options(parser)
    return parser.parse_args(argv)


def dry_run(path: str, args: argparse.Namespace, gpu: GPU, memory: float) -> dict[str, Any]:
    """Return the report of a config."""
    cfg = load_config(path)
    merge_options(cfg, expand_num_views(cfg, args.cfg_options))
    world_size = args.gpus or own_gpus(cfg)
    run = None
    try:
        run = DryRun(cfg, world_size)
        record = run.measure()
        largest = find_largest_batch(run, record, memory * 2**30) if args.largest_batch else None
    except StepError as error:
        return report.failure(path, world_size, error, run.reached() if run else {})
    return report.success(path, record, gpu, memory, largest)


def own_gpus(cfg: Any) -> int:
    """Return the number of GPUs that the rate of a recipe was set for; 8 if the recipe records none.

    Raises:
        SetupError: There is no such number for its batch.
    """
    if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        return 8
    try:
        ranks = recipe_processes(cfg)
    except SetupError as error:
        raise SetupError(f'{error}: name a number of GPUs by --gpus') from None
    parts = iterations_per_step(cfg)
    if ranks > parts and ranks % parts:
        raise SetupError(
            f'the rate is set for {ranks} batches of {cfg.train_dataloader.batch_size} images per step, which '
            f'optim_wrapper.accumulative_counts={parts} does not divide: name a number of GPUs by --gpus'
        )
    return max(1, ranks // parts)


def _is_good(result: dict[str, Any]) -> bool:
    return 'error' not in result and result['fits'] and not result['unused']


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep warnings and the logs of mmengine from the screen, which the report is for."""
    with without_log(logging.ERROR), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def main(argv: list[str] | None = None, description: str | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments; those of the process by default.
        description: Text at the top of the help.

    Returns:
        The exit code: 1 if a config would not train.

    Raises:
        SetupError: An argument or a config is wrong.
    """
    args = parse_args(argv, description)
    gpu = find_gpu(args.gpu)
    memory = gpu.memory if args.memory is None else args.memory
    if args.gpus is not None and args.gpus < 1:
        raise SetupError(f'--gpus must be at least 1, got {args.gpus}')
    if memory <= 0:
        raise SetupError(f'--memory must be positive, got {memory:g}')
    results = []
    with _quiet():
        for path in args.configs:
            results.append(dry_run(path, args, gpu, memory))
            print(report.as_text(results[-1]), flush=True)
            gc.collect()
    print(f'\n{report.NOTE} {report.ASSUMPTIONS}')
    if args.json:
        args.json.write_text(
            json.dumps(report.document(results), indent=1, ensure_ascii=False) + '\n', encoding='utf-8'
        )
    if args.markdown:
        args.markdown.write_text(report.as_page(report.document(results)), encoding='utf-8')
    return 0 if all(map(_is_good, results)) else 1

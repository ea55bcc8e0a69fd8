"""What a step costs as one quantity grows: batch, views K, projectors M, groups, queue, ranks.

Time over that of the necessary passes (see ``step.py time``) shows whether the cost grows with the passes or beside
them. Time per image and view, and memory kept for the backward pass over that of the passes, show whether it grows
faster than the quantity. With several ranks each has the same batch and one thread, over gloo or NCCL; times are then
those on the wall on rank 0, and need a core or a GPU for each rank.
"""

import argparse
import os
import tempfile
from statistics import median
from typing import Any, NamedTuple

import torch
from mmengine.model import MMDistributedDataParallel
from torch import distributed, multiprocessing

from . import options
from .clock import Function, alternate, median_ratio, wall_seconds
from .over_passes import measure
from .passes import necessary_passes
from .recipes import build, prepare, random_views
from .report import Report

COLUMNS = (
    'quantity',
    '',
    'method',
    'batch',
    'step, s',
    'ms per image and view',
    'step / necessary passes',
    'memory / that of the passes',
)


class Axis(NamedTuple):
    """A quantity that grows.

    Args:
        method: Method of ``step.py time`` that shows it.
        values: Its values.
        option: Option of the recipe that sets it, if one does.
    """

    method: str
    values: tuple[int, ...]
    option: str | None = None


AXES = {
    'batch': Axis('LEWEL_B', (8, 16, 32, 64)),
    'views': Axis('MSBReg, K = 2', (2, 4, 8, 16)),
    'projectors': Axis('MPCL on MoCo v2, M = 4', (1, 2, 4, 8, 16), 'model.neck.num_projectors'),
    'groups': Axis('SMoG', (300, 3000, 30000), 'model.head.num_groups'),
    'queue': Axis('LEWEL_M', (4096, 16384, 65536), 'model.queue_len'),
    'ranks': Axis('LEWEL_B', (1, 2)),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py scaling``."""
    options.add_choices(parser, '--axes', AXES, AXES)
    parser.add_argument(
        '--values', nargs='+', type=int, help='values of every quantity (default: its own for each quantity)'
    )
    options.add_setting(parser, '18:64:16')
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per quantity and value."""
    prepare(args.threads)
    report = Report('Scaling of a step', *COLUMNS)
    for axis in args.axes:
        for value in args.values or AXES[axis].values:
            row = measure_axis(axis, value, args)
            memory = f'{row["bytes_step"] / row["bytes_passes"]:.3f}' if 'bytes_step' in row else ''
            times = f'{row["step"]:.3f}', f'{1000 * row["per_view"]:.2f}', f'{row["ratio"]:.3f}'
            report.add(row, axis, f'{value:,}', row['method'], row['batch'], *times, memory)
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats)


def measure_axis(axis: str, value: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return the row of a value of a quantity."""
    method, _, option = AXES[axis]
    setting = args.setting._replace(batch=value) if axis == 'batch' else args.setting
    num_views = value if axis == 'views' else 2
    if axis == 'ranks':
        row = _measure_ranks(method, setting, value, args)
    else:
        overrides = {option: value} if option else {}
        row = measure(method, setting, args.repeats, args.device, num_views=num_views, overrides=overrides)
    row['per_view'] = row['step'] / (setting.batch * num_views)
    return dict(axis=axis, value=value, method=method.partition(',')[0], batch=setting.batch, **row)


def _measure_ranks(method: str, setting: options.Setting, num_ranks: int, args: argparse.Namespace) -> dict[str, float]:
    """Return the times of rank 0, with a whole batch on every rank."""
    with tempfile.TemporaryDirectory() as folder:
        settings = (num_ranks, folder, method, setting, args.repeats, args.device)
        multiprocessing.start_processes(_run_rank, settings, nprocs=num_ranks, start_method='spawn')
        return torch.load(os.path.join(folder, 'result.pt'), weights_only=True)


def _run_rank(
    rank: int, num_ranks: int, folder: str, method: str, setting: options.Setting, repeats: int, device: str
) -> None:
    prepare(threads=1)
    if device != 'cpu':
        device = f'cuda:{rank}'
        torch.cuda.set_device(device)
    backend = 'gloo' if device == 'cpu' else 'nccl'
    distributed.init_process_group(backend, f'file://{folder}/ranks', rank=rank, world_size=num_ranks)
    functions = _functions_of_rank(rank, method, setting, device)
    times = alternate(functions, device, repeats, clock=wall_seconds)
    if rank == 0:
        medians = {name: median(values) for name, values in times.items()}
        row = dict(**medians, ratio=median_ratio(times['step'], times['passes']))
        torch.save(row, os.path.join(folder, 'result.pt'))
    distributed.barrier()
    distributed.destroy_process_group()


def _functions_of_rank(rank: int, method: str, setting: options.Setting, device: str) -> dict[str, Function]:
    """Return the step and the necessary passes: the same model on every rank, with images of its own."""
    torch.manual_seed(0)
    model, wrapper = build(method, setting.depth, device, {})
    passes = necessary_passes(model, random_views(setting.batch, setting.size, 2))
    torch.manual_seed(rank)
    data = random_views(setting.batch, setting.size, 2)
    ids = None if device == 'cpu' else [rank]
    parallel = MMDistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)

    def step() -> None:
        parallel.train_step(data, wrapper)
        model.after_optimizer_step(0.5)

    return dict(step=step, passes=passes)

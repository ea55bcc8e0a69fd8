"""Time and memory of a training step over its necessary passes, for our methods and those of mmpretrain.

On a CPU seconds are those of all threads together, and images/s are of one core. The ratio of times is the median over
pairs of a step and the passes that it alternates with, not that of the medians beside it. Memory is what autograd keeps
for the backward pass. The last four columns are shares of the necessary passes. The first three of them were timed
alone.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any

import torch

from . import options, passes
from .clock import Function, alternate, median_ratio
from .recipes import METHODS, build, prepare, random_views
from .report import Report

COLUMNS = (
    'method',
    'ResNet',
    'pixels',
    'batch',
    'images/s',
    'step, s',
    'necessary passes, s',
    'ratio',
    'memory, MiB',
    'ratio',
    'preprocessing',
    'optimizer',
    'teacher update',
    'pooling, losses and other',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py time``."""
    options.add_settings(parser)
    options.add_choices(parser, '--methods', METHODS, METHODS)
    parser.add_argument('--bf16', action='store_true', help="the recipes' mixed precision, on a GPU; else float32")
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per setting and method."""
    if args.bf16 and args.device == 'cpu':
        raise SystemExit('error: --bf16 needs --device cuda: mmengine has no mixed precision on a CPU')
    report = Report('Step time and memory over necessary passes', *COLUMNS)
    for setting in args.settings:
        for name in args.methods:
            row = _in_new_process(args.threads, name, setting, args.repeats, args.device, args.bf16)
            report.add(dict(method=name, **setting._asdict(), **row), name, *setting, *_cells(setting.batch, row))
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats)


def _cells(batch: int, row: dict[str, float]) -> list[str]:
    shares = (f'{100 * row[part] / row["passes"]:.1f} %' for part in ('preprocessing', 'optimizer', 'teacher', 'rest'))
    times = [f'{batch / row["step"]:.1f}', *(f'{row[name]:.3f}' for name in ('step', 'passes', 'ratio'))]
    return [*times, f'{row["bytes_step"] / 2**20:.1f}', f'{row["bytes_step"] / row["bytes_passes"]:.3f}', *shares]


def _in_new_process(threads: int | None, *args: Any) -> dict[str, float]:
    """Return :func:`measure` from a process of its own: memory that an earlier row leaves would slow a later one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        return pool.submit(_prepare_and_measure, threads, *args).result()


def _prepare_and_measure(threads: int | None, *args: Any) -> dict[str, float]:
    prepare(threads)
    return measure(*args)


def measure(
    method: str,
    setting: options.Setting,
    repeats: int,
    device: str,
    bf16: bool = False,
    num_views: int | None = None,
    overrides: dict[str, Any] | None = None,
    calls: int = 1,
) -> dict[str, float]:
    """Return seconds and bytes of a step and of its necessary passes.

    Args:
        method: One of ``METHODS``.
        setting: Shapes.
        repeats: How often to measure.
        device: ``cpu`` or ``cuda``.
        bf16: Whether to use the recipes' mixed precision.
        num_views: Views per image; by default 2, or the K in the method's name.
        overrides: Options of the recipe, in the place of those that belong to the method.
        calls: Number of calls per repetition.
    """
    torch.manual_seed(0)
    model, wrapper = build(method, setting.depth, device, overrides, bf16)
    data = random_views(setting.batch, setting.size, num_views or int(method.partition('K = ')[2] or 2))
    functions = dict(step=passes.full_step(model, wrapper, data), passes=passes.necessary_passes(model, data, bf16))
    times = alternate(functions, device, repeats, calls=calls)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    parts = {
        name: median(alternate({name: part}, device, repeats, calls=calls)[name])
        for name, part in _parts(model, wrapper, data).items()
    }
    step, necessary = median(times['step']), median(times['passes'])
    ratio = median_ratio(times['step'], times['passes'])
    # Pooling, losses, their backward passes and bookkeeping; also the noise of the other figures.
    rest = step - necessary - sum(parts.values())
    bytes_step, bytes_passes = passes.memory(model, data, bf16)
    row = dict(step=step, passes=necessary, ratio=ratio, **parts, rest=rest)
    row.update(step_fastest=min(times['step']), step_slowest=max(times['step']))
    return dict(**row, bytes_step=bytes_step, bytes_passes=bytes_passes)


def _parts(model: Any, wrapper: Any, data: dict) -> dict[str, Function]:
    """Return what a step does beside its necessary passes and can be run alone; the optimizer needs gradients."""
    return dict(
        preprocessing=lambda: model.data_preprocessor(data, True),
        optimizer=wrapper.optimizer.step,
        teacher=lambda: passes.update_teacher(model),
    )

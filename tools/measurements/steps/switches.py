"""What each thing that makes a step fast is worth: the step with it, and with what would stand in its place.

``images`` and ``weights`` are channels_last, else contiguous. ``optimizer`` is that of the recipe with its few
parameter groups, else mmpretrain's LARS, a loop, or, with SGD and AdamW, mmengine's groups, one per parameter.
``teacher`` is averaged in one fused call, else in one per tensor. ``bf16``, on a GPU only, is the recipes' mixed
precision, else float32. ``compile`` is off in the recipes; here the step with it stands first. All else follows the
recipe, but in float32. The two steps alternate in one process, and the median of the paired ratios is reported. On a
CPU the times are processor time.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from . import options
from .clock import alternate, median_ratio
from .passes import full_step
from .recipes import METHODS, build, in_bfloat16, prepare, random_views, start_cache
from .report import Report

ONE_PER_PAPER = ('LEWEL_B', 'MSBReg, K = 2', 'SMoG', 'MPCL on MoCo v2, M = 4')
COLUMNS = ('method', 'ResNet', 'pixels', 'batch', 'switch', 'with, s', 'without, s', 'without / with')
COMPILER = 'inductor'
Built = tuple[Any, OptimWrapper]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py switches``."""
    options.add_settings(parser)
    options.add_choices(parser, '--methods', METHODS, ONE_PER_PAPER)
    options.add_choices(parser, '--switches', SWITCHES, SWITCHES)
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per setting, method and switch."""
    MMLogger.get_instance('mmengine', log_level='ERROR')  # mmengine's constructor logs every frozen parameter
    prepare(args.threads)
    report = Report('What each switch of a step is worth', *COLUMNS)
    for setting in args.settings:
        for method in args.methods:
            for switch in args.switches:
                if switch == 'bf16' and args.device == 'cpu':
                    continue
                row = measure(method, setting, switch, args.repeats, args.device)
                times = (f'{row[name]:.3f}' for name in ('with', 'without', 'ratio'))
                report.add(
                    dict(method=method, **setting._asdict(), switch=switch, **row), method, *setting, switch, *times
                )
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats)


def measure(
    method: str, setting: options.Setting, switch: str, repeats: int, device: str, bf16: bool = False, calls: int = 1
) -> dict[str, float]:
    """Return the seconds of both steps and their ratio.

    Args:
        method: One of ``METHODS``.
        setting: Shapes.
        switch: One of ``SWITCHES``.
        repeats: How often to measure.
        device: ``cpu`` or ``cuda``.
        bf16: Whether to use the recipes' mixed precision in both steps.
        calls: Number of calls per repetition.
    """
    steps = {}
    for name, change in zip(('with', 'without'), SWITCHES[switch]):
        torch.manual_seed(0)
        model, wrapper = change(*build(method, setting.depth, device, bf16=bf16))
        start_cache(model, calls * (repeats + 2))
        steps[name] = full_step(model, wrapper, random_views(setting.batch, setting.size, 2))
    times = alternate(steps, device, repeats, warm_up=2, calls=calls)
    medians = {name: median(values) for name, values in times.items()}
    return dict(**medians, ratio=median_ratio(times['without'], times['with']))


def contiguous_images(model: Any, wrapper: OptimWrapper) -> Built:
    """Leave the views in the layout that normalization returns."""
    preprocess = model.data_preprocessor.forward

    def forward(data: dict, training: bool = False) -> dict:
        batch = preprocess(data, training)
        return dict(batch, inputs=[x.contiguous() for x in batch['inputs']])

    model.data_preprocessor.forward = forward
    return model, wrapper


def contiguous_weights(model: Any, wrapper: OptimWrapper) -> Built:
    """Leave the weights in the layout of torch's constructors."""
    model.to(memory_format=torch.contiguous_format)
    return model, wrapper


def upstream_optimizer(model: Any, wrapper: OptimWrapper) -> Built:
    """Use mmpretrain's LARS with its recipe's exclusions, or the same optimizer with one group per parameter."""
    group = wrapper.optimizer.param_groups[0]
    decay = max(group['weight_decay'] for group in wrapper.optimizer.param_groups)
    cfg = dict(type=type(wrapper.optimizer).__name__, lr=group['lr'], weight_decay=decay)
    multipliers: dict[str, Any] = dict(decay_mult=1.0)
    if cfg['type'] == 'LARS':
        cfg.update(type='mmpretrain.LARS', momentum=group['momentum'])
        multipliers = dict(decay_mult=0.0, lars_exclude=True)
    elif 'momentum' in group:
        cfg['momentum'] = group['momentum']
    paramwise = dict(custom_keys=dict(bn=multipliers, bias=multipliers))
    return model, build_optim_wrapper(model, dict(type='OptimWrapper', optimizer=cfg, paramwise_cfg=paramwise))


def looped_teacher(model: Any, wrapper: OptimWrapper) -> Built:
    """Update the teacher as mmengine's averaged models do, with one call per tensor."""

    @torch.no_grad()
    def update(backbone: nn.Module, neck: nn.Module, progress: float) -> None:
        online = [*backbone.parameters(), *neck.parameters()]
        for mine, theirs in zip(model.teacher.module.parameters(), online, strict=True):
            mine.lerp_(theirs, model.teacher.momentum_at(progress))

    model.teacher.update = update
    return model, wrapper


def bfloat16(model: Any, wrapper: OptimWrapper) -> Built:
    """Use the recipes' mixed precision."""
    return model, in_bfloat16(wrapper, 'cuda')


def compiled(model: Any, wrapper: OptimWrapper) -> Built:
    """Compile the step as ``compile = True`` does in mmengine's Runner."""
    model.train_step = torch.compile(model.train_step, backend=COMPILER)
    return model, wrapper


def unchanged(model: Any, wrapper: OptimWrapper) -> Built:
    """Leave all as the recipe has it."""
    return model, wrapper


# The step with each switch, and the one without.
SWITCHES: dict[str, tuple[Callable[..., Built], Callable[..., Built]]] = {
    'images': (unchanged, contiguous_images),
    'weights': (unchanged, contiguous_weights),
    'optimizer': (unchanged, upstream_optimizer),
    'teacher': (unchanged, looped_teacher),
    'bf16': (bfloat16, unchanged),
    'compile': (compiled, unchanged),
}

"""A training step of each row of a comparison, beside that of its baseline.

All rows of one baseline alternate in one process on the same batch of random images: preprocessing and views, forward
and backward pass, optimizer, teacher. The median of a row's step and of the paired ratios to its baseline are reported.
On a CPU the times are processor time. Resets of SMoG are left out. Rows that need another library are missing without
it.
"""

import argparse
import sys
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper

from lewel_plugins.comparison.run import resolved_configs
from lewel_plugins.comparison.spec import load_comparison

from . import options
from .clock import Function, alternate, median_ratio
from .libraries import register_methods
from .passes import full_step
from .recipes import build_model, prepare, start_cache
from .report import Report

COLUMNS = ('row', 'step, s', 'over its baseline')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py rows``."""
    parser.add_argument('comparison', type=Path, help='file under configs/comparisons; views are made on the device')
    parser.add_argument('--size', type=int, default=32, help='pixels of an image (default: 32)')
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a line per row."""
    MMLogger.get_instance('mmengine', log_level='ERROR')
    prepare(args.threads)
    report = Report('Steps of the rows of a comparison', *COLUMNS)
    comparison = load_comparison(args.comparison)
    configs = {
        name: cfg
        for name, cfg in resolved_configs(comparison).items()
        if register_methods(cfg.get('custom_imports', {}).get('imports', []))
    }
    groups: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.name in configs:
            groups.setdefault(row.baseline or comparison.baseline, []).append(row.name)
    for baseline, names in groups.items():
        if baseline not in configs:
            sys.exit(f'error: the library of {baseline!r}, to which {", ".join(names)} are compared, is not installed')
        for figures in measure({name: configs[name] for name in (baseline, *names)}, baseline, args):
            if figures['row'] not in names:  # it has a baseline of its own, beside which it has its line
                continue
            report.add(figures, figures['row'], f'{figures["seconds"]:.4f}', f'{figures["ratio"]:.3f}')
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats, size=args.size)


def measure(configs: dict[str, Config], baseline: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row with its seconds and the ratio to the baseline for each config."""
    steps = {name: _step(cfg, args) for name, cfg in configs.items()}
    times = alternate(steps, args.device, args.repeats)
    return [
        dict(row=name, baseline=baseline, seconds=median(values), ratio=median_ratio(values, times[baseline]))
        for name, values in times.items()
    ]


def _step(cfg: Config, args: argparse.Namespace) -> Function:
    model = build_model(cfg, args.device)
    start_cache(model, args.repeats + 1)
    shape = (cfg.train_dataloader.batch_size, 3, args.size, args.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    return full_step(model, wrapper, dict(inputs=images, data_samples=[]))

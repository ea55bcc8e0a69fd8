"""Time and memory of a step with M = 1, 2, 4, 8 projectors against the base method.

The steps of all M and of mmpretrain's own method alternate in one process; on a CPU the times are processor time.
``heads`` is the time of the projectors' own passes, run alone on the step's shapes: heads forward and backward, the
teacher's forward, and the contrastive losses. ``updates`` is that of the optimizer and the teacher's update, run alone.
``rest`` is the additional time of a step with M projectors over one with M = 1, without the additional time of its
heads and updates, over the step with M = 1: what M projectors cost beyond their own work.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lewel_plugins import functional as LF

from . import options
from .clock import Function, alternate
from .memory import saved_bytes, state_bytes
from .passes import full_step
from .recipes import CONFIGS, build_model, load_recipe, prepare, random_views
from .report import Report

# Our recipe, and a file with the model of mmpretrain's method, whose widths and backbone are then those of ours.
METHODS = {
    'MoCo v2': (
        'mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py',
        '_base_/models/mocov2_resnet50.py',
    ),
    'MoCo v3': (
        'mpcl/mpcl-mocov3_resnet50_8xb512-lars-coslr-300e_in1k.py',
        'baselines/mocov3_resnet10_1xb64-24e_garment-scenes.py',
    ),
    'Barlow Twins': (
        'mpcl/mpcl-barlowtwins_resnet50_8xb256-lars-coslr-300e_in1k.py',
        'baselines/barlowtwins_resnet10_1xb64-24e_garment-scenes.py',
    ),
}
COLUMNS = (
    'method',
    'projectors',
    'step, s',
    'over mmpretrain',
    'GFLOPs',
    'over mmpretrain',
    'heads, s',
    'updates, s',
    'rest',
    'saved for backward, MB',
    'parameters and buffers, MB',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py projectors``."""
    options.add_choices(parser, '--methods', METHODS, METHODS)
    parser.add_argument(
        '--projectors', nargs='+', type=int, default=[1, 2, 4, 8], help='values of M (default: 1 2 4 8)'
    )
    parser.add_argument('--barlow-width', type=int, default=8192, help="width of Barlow Twins' projectors (8192)")
    options.add_setting(parser, '18:64:32')
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per method and number of projectors."""
    prepare(args.threads)
    report = Report('Cost of projectors', *COLUMNS)
    for method in args.methods:
        rows = measure(method, args)
        for row in rows:
            report.add(row, *_cells(row, rows[0]))
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats)


def _cells(row: dict[str, Any], base: dict[str, Any]) -> list[str]:
    return [
        row['method'],
        row['projectors'],
        f'{row["step"]:.3f}',
        f'{row["step"] / base["step"]:.3f}',
        f'{row["gflops"]:.1f}',
        f'{row["gflops"] / base["gflops"]:.3f}',
        f'{row["heads"]:.3f}',
        f'{row["updates"]:.3f}',
        f'{100 * row["rest"]:.1f} %' if 'rest' in row else '',
        f'{row["saved_mb"]:.0f}',
        f'{row["state_mb"]:.0f}',
    ]


def measure(method: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for mmpretrain's method, and one for every M."""
    depth, size, batch = args.setting
    data = random_views(batch, size, 2)
    rows: list[dict[str, Any]] = []
    functions: dict[str, dict[str, Function]] = dict(step={}, heads={}, updates={})
    for name in ('mmpretrain', *args.projectors):
        torch.manual_seed(0)
        num = None if name == 'mmpretrain' else name
        model, wrapper = build(method, num, depth, args.barlow_width, args.device)
        step = functions['step'][name] = full_step(model, wrapper, data)
        rows.append(dict(method=method, projectors=name, **_sizes(model, step, args.device)))
        if num is not None:
            functions['heads'][name] = heads_alone(model, batch)
            functions['updates'][name] = updates_alone(model, wrapper)
    for part, named in functions.items():
        times = alternate(named, args.device, args.repeats)
        for row in rows:
            row[part] = median(times.get(row['projectors'], [0.0]))
    _add_rest(rows)
    return rows


def _sizes(model: Any, step: Function, device: str) -> dict[str, float]:
    """Return the operations and bytes of a step."""
    step()  # creates the state of the optimizer
    with FlopCounterMode(display=False) as counter:
        step()
    sizes = dict(
        gflops=counter.get_total_flops() / 1e9, saved_mb=saved_bytes(step) / 2**20, state_mb=state_bytes(model) / 2**20
    )
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        step()
        sizes['peak_mb'] = torch.cuda.max_memory_allocated() / 2**20
    return sizes


def _add_rest(rows: list[dict[str, Any]]) -> None:
    one = next((row for row in rows if row['projectors'] == 1), None)
    for row in rows[1:] if one else []:
        assert one is not None
        own = sum(row[part] - one[part] for part in ('heads', 'updates'))
        row['rest'] = (row['step'] - one['step'] - own) / one['step']


def build(method: str, num: int | None, depth: int, barlow_width: int, device: str) -> tuple[Any, OptimWrapper]:
    """Return the recipe's model with ``num`` projectors, or mmpretrain's own, and its optim wrapper in float32."""
    cfg = load_recipe(METHODS[method][0], depth)
    if method == 'Barlow Twins':
        cfg.model.neck.update(hid_channels=barlow_width, out_channels=barlow_width)
    if num is None:
        cfg.model = _mmpretrains(method, cfg.model)
        # These options name parameters of MPCL's models.
        cfg.optim_wrapper.get('paramwise_cfg', {}).pop('custom_keys', None)
    else:
        cfg.model.neck.num_projectors = num
    model = build_model(cfg, device)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def _mmpretrains(method: str, ours: ConfigDict) -> ConfigDict:
    """Return the config of mmpretrain's method, with the backbone, widths and temperature of our model."""
    model = Config.fromfile(str(CONFIGS / METHODS[method][1])).model
    model.backbone = ours.backbone
    width = ours.neck.out_channels
    model.neck.update(in_channels=ours.neck.in_channels, hid_channels=ours.neck.hid_channels, out_channels=width)
    if 'predictor' in model.head:
        hidden, temperature = ours.head.predictor.hid_channels, ours.head.temperature
        model.head.predictor.update(in_channels=width, hid_channels=hidden, out_channels=width)
        model.head.update(temperature=temperature)
        model.head.loss.loss_weight = 2 * temperature
    if 'in_channels' in model.head:
        model.head.in_channels = width
    return model


def heads_alone(model: Any, batch: int) -> Function:
    """Return a function that does a step's passes through projectors and predictors, and M times the base loss."""
    neck, device = model.neck, model.head.balance.weights.device
    features = torch.randn(batch, neck.in_channels, device=device)
    z = torch.randn(neck.num_projectors, batch, neck.out_channels, device=device)
    views = 1 if hasattr(model, 'queue') else 2
    passes: list[tuple[Callable, Tensor]] = [(lambda x: neck((x,)), features)] * views + _losses_alone(model, z, views)

    def run() -> None:
        for function, x in passes:
            output = function(x.detach().requires_grad_())
            output.backward(torch.ones_like(output))
        if hasattr(model, 'teacher'):
            for _ in range(views):
                with torch.no_grad():
                    model.teacher.module.neck((features,))
        for parameter in model.parameters():
            parameter.grad = None

    return run


def _losses_alone(model: Any, z: Tensor, views: int) -> list[tuple[Callable, Tensor]]:
    """Return predictor and losses of each view, each with an input; z is (M, N, d)."""
    if hasattr(model.head, 'predictor'):

        def contrast(q: Tensor) -> Tensor:
            return LF.nce(*LF.batch_similarities(q, z, model.head.temperature))

        return [(model.head.predictor, z), (contrast, z)] * views
    if hasattr(model, 'queue'):
        return [(lambda q: LF.info_nce(q, z, model.queue.keys, model.head.temperature, unit_queue=True), z)]
    other = LF.standardize(z)
    return [(lambda y: LF.barlow_twins(LF.standardize(y), other), z)]


def updates_alone(model: Any, wrapper: OptimWrapper) -> Function:
    """Return a function that does the optimizer's step and the teacher's update of all parameters."""

    def run() -> None:
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        wrapper.optimizer.step()
        model.after_optimizer_step(0.5)

    return run

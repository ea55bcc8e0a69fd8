"""A training step of ours against the same method of mmpretrain and of lightly, on the same shapes.

BYOL here is MSBReg with two views, each compared with the other's target, without L_s and L_b; MoCo v2 is MPCL with one
projector; SMoG runs between two resets. Backbone (mmpretrain's ResNet), widths, batch, preprocessing and PyTorch are
the same; LARS, teacher, queue and losses are each library's own. The steps of a method alternate in one process, and
the median of the paired ratios is reported. On a CPU the times are processor time. Without lightly its rows are
missing.
"""

import argparse
from collections.abc import Callable
from statistics import median
from typing import Any

from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper

from . import options
from .clock import alternate, median_ratio
from .libraries import LIGHTLY as LIGHTLY_METHODS
from .libraries import register_methods
from .passes import full_step
from .recipes import build_model, in_bfloat16, load_recipe, prepare, random_views, start_cache
from .report import Report

try:
    from lightly.models.utils import get_weight_decay_parameters
    from lightly.utils.lars import LARS
except ImportError:
    LARS = None

OURS = {
    'BYOL': (
        'msbreg/msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py',
        {
            'model.head.exclude_self': True,
            'model.head.lambda_s': 0,
            'model.head.lambda_b': 0,
            'model.head.hid_channels': 4096,  # mmpretrain's widths
            'model.neck.hid_channels': 4096,
        },
    ),
    'MoCo v2': ('mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py', {'model.neck.num_projectors': 1}),
    'SMoG': ('smog/smog_resnet50_8xb512-lars-coslr-100e_in1k.py', {}),
}
# A recipe, and the file with mmpretrain's model.
MMPRETRAIN = {
    'BYOL': ('lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py', '_base_/models/byol_resnet50.py'),
    'MoCo v2': ('lewel/lewel-m_resnet50_8xb32-coslr-200e_in1k.py', '_base_/models/mocov2_resnet50.py'),
}
LIGHTLY = {'BYOL': 'LightlyBYOL', 'MoCo v2': 'LightlyMoCo', 'SMoG': 'LightlySMoG'}
COLUMNS = ('method', 'ResNet', 'pixels', 'batch', 'ours, s', 'peer', 'its step, s', 'ours / peer')
Built = tuple[Any, OptimWrapper]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py peers``."""
    options.add_settings(parser)
    options.add_choices(parser, '--methods', OURS, OURS)
    options.add_timing(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per setting, method and peer."""
    MMLogger.get_instance('mmengine', log_level='ERROR')  # mmengine's constructor logs every frozen parameter
    prepare(args.threads)
    report = Report('Steps beside those of other libraries', *COLUMNS)
    for setting in args.settings:
        for method in args.methods:
            for row in measure(method, setting, args.repeats, args.device):
                times = f'{row["seconds"]:.3f}', row['peer'], f'{row["peer_seconds"]:.3f}', f'{row["ratio"]:.3f}'
                report.add(row, method, *setting, *times)
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1], repeats=args.repeats)


def measure(
    method: str, setting: options.Setting, repeats: int, device: str, bf16: bool = False, calls: int = 1
) -> list[dict[str, Any]]:
    """Return a row for each peer.

    Args:
        method: One of ``OURS``.
        setting: Shapes.
        repeats: How often to measure.
        device: ``cpu`` or ``cuda``.
        bf16: Whether to use the recipes' mixed precision in all steps.
        calls: Number of calls per repetition.
    """
    data = random_views(setting.batch, setting.size, 2)
    steps = {}
    for library, build in _builders(method).items():
        model, wrapper = build(method, setting.depth, device)
        start_cache(model, calls * (repeats + 1))
        steps[library] = full_step(model, in_bfloat16(wrapper, device) if bf16 else wrapper, data)
    times = alternate(steps, device, repeats, calls=calls)
    ours = times.pop('ours')
    return [
        dict(
            method=method,
            **setting._asdict(),
            peer=library,
            seconds=median(ours),
            peer_seconds=median(theirs),
            ratio=median_ratio(ours, theirs),
        )
        for library, theirs in times.items()
    ]


def _builders(method: str) -> dict[str, Callable[[str, int, str], Built]]:
    builders: dict[str, Callable[[str, int, str], Built]] = dict(ours=build_ours)
    if method in MMPRETRAIN:
        builders['mmpretrain'] = build_mmpretrains
    if LARS is not None and register_methods([LIGHTLY_METHODS]):
        builders['lightly'] = build_lightlys
    return builders


def build_ours(method: str, depth: int, device: str) -> Built:
    """Return our model and its optim wrapper."""
    path, overrides = OURS[method]
    cfg = load_recipe(path, depth, overrides)
    model = build_model(cfg, device)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def build_mmpretrains(method: str, depth: int, device: str) -> Built:
    """Return mmpretrain's model, with the LARS and the constructor that its recipe of BYOL uses."""
    path, base = MMPRETRAIN[method]
    cfg = load_recipe(path, depth, base=base)
    if 'LARS' in cfg.optim_wrapper.optimizer.type:
        excluded = dict(decay_mult=0.0, lars_exclude=True)
        cfg.optim_wrapper = dict(
            type='OptimWrapper',
            optimizer=dict(type='mmpretrain.LARS', lr=1e-3, momentum=0.9, weight_decay=1.5e-6),
            paramwise_cfg=dict(custom_keys=dict(bn=excluded, bias=excluded)),
        )
    model = build_model(cfg, device)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def build_lightlys(method: str, depth: int, device: str) -> Built:
    """Return lightly's model on the same backbone, with its LARS or torch's SGD, whichever our recipe uses."""
    path, overrides = OURS[method]
    cfg = load_recipe(path, depth, overrides)
    ours, neck = cfg.model, cfg.model.neck
    widths = dict(in_channels=neck.in_channels, hid_channels=neck.hid_channels, out_channels=neck.out_channels)
    cfg.model = dict(type=f'lewel_plugins.{LIGHTLY[method]}', backbone=ours.backbone, momentum=ours.momentum, **widths)
    if method == 'MoCo v2':
        cfg.model.update(queue_len=ours.queue_len, temperature=ours.head.temperature)
    if method == 'SMoG':  # no reset, and a small memory bank, because every step copies it
        cfg.model.update(num_groups=ours.head.num_groups, interval=1000, batch_size=1)
    model = build_model(cfg, device)
    optimizer = cfg.optim_wrapper.optimizer
    if 'LARS' not in optimizer.type:
        return model, build_optim_wrapper(model, cfg.optim_wrapper)
    online = [module for name, module in model.named_children() if 'momentum' not in name]
    decayed, others = get_weight_decay_parameters(online)
    groups = [dict(params=decayed), dict(params=others, weight_decay=0.0)]
    return model, OptimWrapper(LARS(groups, lr=1e-3, momentum=0.9, weight_decay=optimizer.weight_decay))

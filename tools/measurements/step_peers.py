"""A training step of ours against the same method of mmpretrain and of lightly, on the same shapes.

BYOL here is MSBReg with two views, each compared with the other's target, without L_s and L_b; MoCo v2 is MPCL with one
projector; SMoG is ours between two resets. Backbone (mmpretrain's ResNet), widths, batch, preprocessing and PyTorch are
the same; LARS, teacher, queue and losses are each library's own. The steps of a method alternate in one process, and
the median of the paired ratios is reported. On a CPU it is processor time. lightly's rows are left out where it is
missing.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS
from step_time import full_step, random_views, report, seconds, start

from lewel_plugins.running import provenance

try:
    import lightly_methods  # noqa: F401  (registers its models)
    from lightly.models.utils import get_weight_decay_parameters
    from lightly.utils.lars import LARS
except ImportError:
    LARS = None

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    'BYOL': (
        'msbreg/msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py',
        dict(exclude_self=True, lambda_s=0, lambda_b=0),
    ),
    'MoCo v2': ('mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py', {}),
    'SMoG': ('smog/smog_resnet50_8xb512-lars-coslr-100e_in1k.py', {}),
}
MMPRETRAIN = {
    'BYOL': 'baselines/byol_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'MoCo v2': 'baselines/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
}
LIGHTLY = {'BYOL': 'LightlyBYOL', 'MoCo v2': 'LightlyMoCo', 'SMoG': 'LightlySMoG'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A step of ours against mmpretrain's and lightly's.")
    parser.add_argument(
        '--settings', nargs='+', default=['18:64:32', '50:160:16'], metavar='DEPTH:SIZE:BATCH', help='(two)'
    )
    parser.add_argument('--methods', nargs='+', default=list(OURS), choices=list(OURS), help='(all)')
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (5)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument(
        '--threads', type=int, help='of PyTorch (its default); 1 on a busy CPU, where waiting threads count'
    )
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def recipe(path: str, depth: int) -> Config:
    """A recipe in float32 with a ResNet of this depth."""
    cfg = Config.fromfile(str(ROOT / 'configs' / path))
    cfg.model.backbone.depth = depth
    cfg.model.neck.in_channels = 512 if depth < 50 else 2048
    cfg.optim_wrapper.type = 'OptimWrapper'
    for key in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(key, None)
    cfg.optim_wrapper.optimizer.lr = 1e-3  # random images: stay where numbers are finite
    return cfg


def ours(method: str, depth: int) -> tuple[Any, Any]:
    """Our model and its optim wrapper; BYOL with mmpretrain's widths."""
    path, options = OURS[method]
    cfg = recipe(path, depth)
    cfg.model.update(options)
    if method == 'BYOL':
        cfg.model.hid_channels = cfg.model.neck.hid_channels = 4096
    if method == 'MoCo v2':
        cfg.model.neck.num_projectors = 1
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def mmpretrains(method: str, depth: int) -> tuple[Any, Any]:
    """mmpretrain's model, with its LARS and its constructor as its recipe of BYOL has them."""
    cfg = recipe(MMPRETRAIN[method], depth)
    if 'LARS' in cfg.optim_wrapper.optimizer.type:
        excluded = dict(decay_mult=0.0, lars_exclude=True)
        cfg.optim_wrapper = dict(
            type='OptimWrapper',
            optimizer=dict(type='mmpretrain.LARS', lr=1e-3, momentum=0.9, weight_decay=1.5e-6),
            paramwise_cfg=dict(custom_keys=dict(bn=excluded, bias=excluded)),
        )
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def lightlys(method: str, depth: int) -> tuple[Any, Any]:
    """lightly's model on the same backbone, with its LARS or torch's SGD, as our recipe has it."""
    cfg = recipe(OURS[method][0], depth)
    neck = cfg.model.neck
    settings = dict(in_channels=neck.in_channels, hid_channels=neck.hid_channels, out_channels=neck.out_channels)
    if method == 'BYOL':
        settings['hid_channels'] = 4096
    if method == 'MoCo v2':
        settings.update(queue_len=cfg.model.queue_len, temperature=cfg.model.temperature)
    if method == 'SMoG':  # no reset, and a small memory bank: it is copied in every step
        settings.update(num_groups=cfg.model.num_groups, interval=1000, batch_size=1)
    model = MODELS.build(
        dict(
            type=f'lewel_plugins.{LIGHTLY[method]}',
            backbone=cfg.model.backbone,
            momentum=cfg.model.momentum,
            data_preprocessor=cfg.data_preprocessor,
            **settings,
        )
    )
    online = [module for name, module in model.named_children() if 'momentum' not in name]
    optimizer = cfg.optim_wrapper.optimizer
    if 'LARS' not in optimizer.type:
        return model, build_optim_wrapper(model, cfg.optim_wrapper)
    decayed, others = get_weight_decay_parameters(online)
    groups = [dict(params=decayed), dict(params=others, weight_decay=0.0)]
    return model, OptimWrapper(LARS(groups, lr=1e-3, momentum=0.9, weight_decay=optimizer.weight_decay))


def measure(method: str, depth: int, size: int, batch: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each peer."""
    builders: dict[str, Callable] = {'ours': ours}
    if method in MMPRETRAIN:
        builders['mmpretrain'] = mmpretrains
    if LARS is not None:
        builders['lightly'] = lightlys
    data = random_views(batch, size, 2)
    steps = {}
    for library, build in builders.items():
        model, wrapper = build(method, depth)
        model.to(args.device).train()
        if library == 'ours':
            model.start_training()
            if hasattr(model, 'cache'):
                model.cache.start(args.repeats + 1)
        steps[library] = full_step(model, wrapper, data)
    taken: dict[str, list[float]] = {library: [] for library in steps}
    for _ in range(args.repeats + 1):
        for library, step in steps.items():
            taken[library].append(seconds(step, args.device))
    return [
        dict(
            method=method,
            depth=depth,
            size=size,
            batch=batch,
            peer=library,
            seconds=median(taken['ours'][1:]),
            peer_seconds=median(times[1:]),
            ratio=median(a / b for a, b in list(zip(taken['ours'], times))[1:]),
        )
        for library, times in taken.items()
        if library != 'ours'
    ]


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')  # mmengine's constructor names every frozen parameter
    start(args.threads)
    described = provenance.record()
    lines = ['| method | ResNet | pixels | batch | ours, s | peer | its step, s | ours / peer |', '|---' * 8 + '|']
    rows = []
    for setting in args.settings:
        depth, size, batch = map(int, setting.split(':'))
        for method in args.methods:
            for row in measure(method, depth, size, batch, args):
                rows.append(row)
                lines.append(
                    f'| {method} | {depth} | {size} | {batch} | {row["seconds"]:.3f} | {row["peer"]} '
                    f'| {row["peer_seconds"]:.3f} | {row["ratio"]:.3f} |'
                )
                print(lines[-1], flush=True)
    report(args, "Steps beside other libraries'", lines, (__doc__ or '').split('\n\n', 1)[1], rows, described)


if __name__ == '__main__':
    main()

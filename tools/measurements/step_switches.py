"""What each thing that makes a step fast is worth: the step with it, and with what there would be without it.

``images`` and ``weights`` are channels_last, else contiguous; ``optimizer`` is the recipe's with its few parameter
groups, else mmpretrain's LARS, a loop, or with SGD and AdamW mmengine's groups, one a parameter; ``teacher`` is
averaged in one fused call, else one a tensor; ``bf16``, on a GPU only, is the recipes' mixed precision, else float32;
``compile`` is off in the recipes, and here the step with it stands first. All else is as the recipe has it, but for
float32. The two steps alternate in one process and the median of the paired ratios is reported. On a CPU it is
processor time.

python tools/measurements/step_switches.py --out docs/results/step_switches.json
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from step_time import CONFIGS, SETTINGS, build, full_step, random_views, report, seconds, start
from torch import nn

from lewel_plugins.running import provenance

Step = tuple[Any, OptimWrapper]
METHODS = ('LEWEL_B', 'MSBReg, K = 2', 'SMoG', 'MPCL on MoCo v2, M = 4')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='A step with and without what makes it fast.')
    parser.add_argument(
        '--settings', nargs='+', default=SETTINGS, metavar='DEPTH:SIZE:BATCH', help='ResNet depth, pixels, images'
    )
    parser.add_argument('--methods', nargs='+', default=METHODS, choices=list(CONFIGS), help='rows (one of each)')
    parser.add_argument('--switches', nargs='+', default=list(SWITCHES), choices=list(SWITCHES), help='columns (all)')
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (5)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--threads', type=int, help='of PyTorch (its default); 1 on a busy CPU')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def contiguous_images(model: Any, wrapper: OptimWrapper) -> Step:
    """Views as they come from the normalisation."""
    preprocess = model.data_preprocessor.forward

    def forward(data: dict, training: bool = False) -> dict:
        made = preprocess(data, training)
        return dict(made, inputs=[x.contiguous() for x in made['inputs']])

    model.data_preprocessor.forward = forward
    return model, wrapper


def contiguous_weights(model: Any, wrapper: OptimWrapper) -> Step:
    """Weights in the layout of torch's constructors."""
    model.to(memory_format=torch.contiguous_format)
    return model, wrapper


def upstream_optimizer(model: Any, wrapper: OptimWrapper) -> Step:
    """mmpretrain's LARS with its recipe's exclusions, or the same optimizer with a group a parameter."""
    group = wrapper.optimizer.param_groups[0]
    decay = max(group['weight_decay'] for group in wrapper.optimizer.param_groups)
    cfg = dict(type=type(wrapper.optimizer).__name__, lr=group['lr'], weight_decay=decay)
    multipliers: dict[str, Any] = dict(decay_mult=1.0)
    if cfg['type'] == 'LARS':
        cfg.update(type='mmpretrain.LARS', momentum=group['momentum'])
        multipliers = dict(decay_mult=0.0, lars_exclude=True)
    elif 'momentum' in group:
        cfg['momentum'] = group['momentum']
    keys = dict(bn=multipliers, bias=multipliers)
    return model, build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=cfg, paramwise_cfg=dict(custom_keys=keys))
    )


def looped_teacher(model: Any, wrapper: OptimWrapper) -> Step:
    """mmengine's averaged models: one call a tensor."""

    @torch.no_grad()
    def update(backbone: nn.Module, neck: nn.Module, progress: float) -> None:
        online = [*backbone.parameters(), *neck.parameters()]
        for mine, theirs in zip(model.teacher.module.parameters(), online, strict=True):
            mine.lerp_(theirs, model.teacher.momentum_at(progress))

    model.teacher.update = update
    return model, wrapper


def bfloat16(model: Any, wrapper: OptimWrapper) -> Step:
    """The recipes' mixed precision."""
    cfg = dict(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False), optimizer=wrapper.optimizer)
    return model, build_optim_wrapper(model, cfg)


def compiled(model: Any, wrapper: OptimWrapper) -> Step:
    """As ``compile = True`` does it in mmengine's Runner."""
    model.train_step = torch.compile(model.train_step)
    return model, wrapper


def _same(model: Any, wrapper: OptimWrapper) -> Step:
    return model, wrapper


# What a step has with the switch, and without.
SWITCHES: dict[str, tuple[Callable[..., Step], Callable[..., Step]]] = {
    'images': (_same, contiguous_images),
    'weights': (_same, contiguous_weights),
    'optimizer': (_same, upstream_optimizer),
    'teacher': (_same, looped_teacher),
    'bf16': (bfloat16, _same),
    'compile': (compiled, _same),
}


def measure(method: str, depth: int, size: int, batch: int, switch: str, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of both steps and their ratio."""
    steps = []
    for change in SWITCHES[switch]:
        torch.manual_seed(0)
        model, wrapper = change(*build(method, depth, args.device))
        if hasattr(model, 'cache'):
            model.cache.start(args.repeats + 2)
        steps.append(full_step(model, wrapper, random_views(batch, size, 2)))
    pairs = [[seconds(step, args.device) for step in steps] for _ in range(args.repeats + 2)][2:]
    taken = [median(times) for times in zip(*pairs)]
    return {'with': taken[0], 'without': taken[1], 'ratio': median(without / on for on, without in pairs)}


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('mmengine', log_level='ERROR')  # mmengine's constructor names every frozen parameter
    start(args.threads)
    described = provenance.record()
    lines = ['| method | ResNet | pixels | batch | switch | with, s | without, s | without / with |', '|---' * 8 + '|']
    rows = []
    for setting in args.settings:
        depth, size, batch = map(int, setting.split(':'))
        for method in args.methods:
            for switch in args.switches:
                if switch == 'bf16' and args.device == 'cpu':
                    continue
                row = measure(method, depth, size, batch, switch, args)
                rows.append(dict(method=method, depth=depth, size=size, batch=batch, switch=switch, **row))
                lines.append(
                    f'| {method} | {depth} | {size} | {batch} | {switch} '
                    f'| {row["with"]:.3f} | {row["without"]:.3f} | {row["ratio"]:.3f} |'
                )
                print(lines[-1], flush=True)
    legend = (__doc__ or '').split('\n\n', 2)[1]
    report(args, 'What each switch of a step is worth', lines, legend, rows, described)


if __name__ == '__main__':
    main()

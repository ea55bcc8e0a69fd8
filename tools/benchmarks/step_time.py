"""Time of a training step over its necessary passes, ours and mmpretrain's.

The necessary passes are the backbone and the MLP heads on the step's shapes: forward and backward in the online net,
forward in the teacher. Everything else (preprocessing, pooling, losses, optimizer, teacher update) is what the ratio
shows. Full steps and necessary passes alternate in one process, and the median of the paired ratios is reported. On a
CPU it is processor time.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from lewel_plugins import provenance

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    'LEWEL_B': 'configs/lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'BYOL (mmpretrain)': 'configs/baselines/byol_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'LEWEL_M': 'configs/lewel/lewel-m_resnet50_8xb32-coslr-200e_in1k.py',
    'MoCo v2 (mmpretrain)': 'configs/baselines/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'SMoG': 'configs/smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
    'SMoG, 30,000 groups': 'configs/smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
}
OPTIONS = {'SMoG, 30,000 groups': {'model.num_groups': 30000}}
SETTINGS = ('18:64:32', '50:160:16')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time of a training step over its necessary passes.')
    parser.add_argument(
        '--settings', nargs='+', default=SETTINGS, metavar='DEPTH:SIZE:BATCH', help='ResNet depth, pixels, images'
    )
    parser.add_argument('--methods', nargs='+', choices=list(CONFIGS), default=list(CONFIGS), help='which (all)')
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (5)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def build(method: str, depth: int, device: str) -> tuple[Any, object]:
    """The recipe's model with a ResNet of this depth, and its optim wrapper in float32."""
    cfg = Config.fromfile(str(ROOT / CONFIGS[method]))
    cfg.merge_from_dict(OPTIONS.get(method, {}))
    cfg.model.backbone.depth = depth
    cfg.model.neck.in_channels = 512 if depth < 50 else 2048
    cfg.model.data_preprocessor = cfg.data_preprocessor
    cfg.optim_wrapper.type = 'OptimWrapper'
    for key in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(key, None)
    cfg.optim_wrapper.optimizer.lr = 1e-3  # random images: stay where numbers are finite
    model = MODELS.build(cfg.model).to(device).train()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def random_views(batch: int, size: int) -> dict:
    views = [torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8) for _ in range(2)]
    return dict(inputs=views, data_samples=[])


def full_step(model: Any, wrapper: object, data: dict) -> Callable[[], None]:
    def run() -> None:
        model.train_step(data, wrapper)
        if hasattr(model, 'momentum_update'):
            model.momentum_update(0.5)

    return run


def necessary_passes(model: Any, data: dict) -> Callable[[], None]:
    """The passes of one step through backbone and MLPs, on inputs of the right shapes."""
    x = model.data_preprocessor(data, True)['inputs']
    with torch.no_grad():
        f = model.backbone(x[0])[-1]
    N, D, H, W = f.shape
    neck, ours = model.neck, hasattr(model, 'teacher')
    directions = 1 if hasattr(model, 'queue') or hasattr(model, 'groups') else 2
    rows = lambda *shape: torch.randn(*shape, device=f.device)  # noqa: E731
    heads: list[tuple[Callable, Tensor]] = []
    if hasattr(model, 'groups'):
        heads += [(neck.mlp, rows(N, D)), (model.predictor, rows(N, neck.out_channels))]
        teacher_backbone = model.teacher.module.backbone
        teacher_heads = [(model.teacher.module.neck.mlp, heads[0][1])]
    elif ours:
        K, d, c = neck.num_aligned, neck.out_channels, neck.aligned_channels
        heads += [(neck.g, rows(N, 1 + H * W, D)), (neck.p, rows(N, K, D))]
        if directions == 2:
            heads += [(model.q, rows(N, d)), (model.s, rows(N, K, c))]
        teacher = model.teacher.module
        teacher_backbone = teacher.backbone
        teacher_heads = [(teacher.neck.g, heads[0][1]), (teacher.neck.p, heads[1][1])]
    else:
        mlp = lambda module: lambda y: module((y,))[0]  # noqa: E731
        heads.append((mlp(neck), rows(N, D, 1, 1)))
        if directions == 2:
            heads.append((mlp(model.head.predictor), rows(N, 256)))
        target = model.target_net if directions == 2 else model.encoder_k
        teacher_backbone, teacher_neck = target.module
        teacher_heads = [(mlp(teacher_neck), heads[0][1])]
    online = [p for p in model.parameters() if p.requires_grad]
    grad = torch.randn_like(f)

    def run() -> None:
        for i in range(directions):
            model.backbone(x[i])[-1].backward(grad)
            for head, y in heads:
                out = head(y.detach().requires_grad_())
                out.backward(torch.ones_like(out))
        with torch.no_grad():
            for i in range(directions):
                teacher_backbone(x[1 - i])
                for head, y in teacher_heads:
                    head(y)
        for p in online:
            p.grad = None

    return run


def seconds(function: Callable[[], object], device: str) -> float:
    """Seconds on the wall on a GPU; processor seconds of all threads on a CPU, which others may be using too."""
    if device == 'cpu':
        start = time.process_time()
        function()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def parts(model: Any, wrapper: Any, data: dict) -> dict[str, Callable[[], object]]:
    """What a step does besides its necessary passes, as far as it can be run alone; needs gradients to be there."""

    def update_teacher() -> None:
        if hasattr(model, 'momentum_update'):
            model.momentum_update(0.5)
        else:
            target = model.target_net if hasattr(model, 'target_net') else model.encoder_k
            target.update_parameters(torch.nn.Sequential(model.backbone, model.neck))

    return dict(
        preprocessing=lambda: model.data_preprocessor(data, True),
        optimizer=wrapper.optimizer.step,
        teacher=update_teacher,
    )


def measure(method: str, depth: int, size: int, batch: int, repeats: int, device: str) -> dict[str, float]:
    torch.manual_seed(0)
    model, wrapper = build(method, depth, device)
    data = random_views(batch, size)
    full, necessary = full_step(model, wrapper, data), necessary_passes(model, data)
    pairs = [(seconds(full, device), seconds(necessary, device)) for _ in range(repeats + 1)][1:]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    alone = {
        name: median([seconds(part, device) for _ in range(repeats + 1)][1:])
        for name, part in parts(model, wrapper, data).items()
    }
    step, passes = median(a for a, _ in pairs), median(b for _, b in pairs)
    # Pooling, losses and their backward, bookkeeping; and what the noise of the other figures leaves.
    rest = step - passes - sum(alone.values())
    return dict(step=step, passes=passes, ratio=median(a / b for a, b in pairs), **alone, rest=rest)


def main() -> None:
    args = parse_args()
    init_default_scope('mmpretrain')
    MessageHub.get_current_instance().update_info('max_iters', 10**6)
    described = dict(
        command=f'python {shlex.join(sys.argv)}',
        commit=provenance.commit(),
        machine=provenance.machine(),
        date=provenance.now(),
    )
    lines = [
        '| method | ResNet | pixels | batch | step, s | necessary passes, s | ratio '
        '| preprocessing | optimizer | teacher update | pooling, losses and other |',
        '|---' * 11 + '|',
    ]
    results = []
    for setting in args.settings:
        depth, size, batch = map(int, setting.split(':'))
        for name in args.methods:
            row = measure(name, depth, size, batch, args.repeats, args.device)
            results.append(dict(method=name, depth=depth, size=size, batch=batch, **row))
            times = f'{row["step"]:.3f} | {row["passes"]:.3f} | {row["ratio"]:.3f}'
            for part in ('preprocessing', 'optimizer', 'teacher', 'rest'):
                times += f' | {100 * row[part] / row["passes"]:.1f} %'
            lines.append(f'| {name} | {depth} | {size} | {batch} | {times} |')
            print(lines[-1], flush=True)
    table = '\n'.join(lines) + '\n'
    print(table)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(**described, repeats=args.repeats, rows=results), indent=2) + '\n')
        notes = '\n'.join(f'- {key}: {value}' for key, value in described.items())
        shares = 'The last four columns are shares of the necessary passes. The first three of them were timed alone.'
        args.out.with_suffix('.md').write_text(f'# Step time over necessary passes\n\n{table}\n{shares}\n\n{notes}\n')


if __name__ == '__main__':
    main()

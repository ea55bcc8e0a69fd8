"""Time and memory of a step with M = 1, 2, 4, 8 projectors against the base method.

Steps of all M and of mmpretrain's own method alternate in one process; on a CPU it is processor time. ``heads`` is the
time of the projectors' own passes, run alone on the step's shapes: heads forward and backward, the teacher's forward,
and the contrastive losses; ``updates`` is that of the optimizer and the teacher's update, run alone.
``rest`` is what a step with M projectors takes more than one with M = 1, less what its heads and updates take more,
over the step with M = 1: what M projectors cost beyond their own work.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from step_time import full_step, random_views, report, seconds, start
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lewel_plugins import functional as LF
from lewel_plugins.running import provenance

ROOT = Path(__file__).resolve().parents[2]
METHODS = {
    'MoCo v2': ('mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py', 'mocov2_resnet50.py'),
    'MoCo v3': ('mpcl/mpcl-mocov3_resnet50_8xb512-lars-coslr-300e_in1k.py', 'mocov3_resnet50.py'),
    'Barlow Twins': ('mpcl/mpcl-barlowtwins_resnet50_8xb256-lars-coslr-300e_in1k.py', 'barlowtwins_resnet50.py'),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time and memory of a step for several numbers of projectors.')
    parser.add_argument('--methods', nargs='+', default=list(METHODS), choices=list(METHODS), help='frameworks (all)')
    parser.add_argument('--projectors', nargs='+', type=int, default=[1, 2, 4, 8], help='values of M (1 2 4 8)')
    parser.add_argument(
        '--setting', default='18:64:32', metavar='DEPTH:SIZE:BATCH', help='ResNet depth, pixels, images (18:64:32)'
    )
    parser.add_argument('--barlow-width', type=int, default=8192, help="width of Barlow Twins' projectors (8192)")
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (5)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument(
        '--threads', type=int, help='of PyTorch (its default); 1 on a busy CPU, where waiting threads count'
    )
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def build(method: str, num: int | None, depth: int, barlow_width: int, device: str) -> tuple[Any, Any]:
    """The recipe's model with ``num`` projectors, or mmpretrain's own with one, and its optim wrapper in float32."""
    recipe, base = METHODS[method]
    cfg = Config.fromfile(str(ROOT / 'configs' / recipe))
    if num is None:
        cfg.model = Config.fromfile(str(ROOT / 'configs' / '_base_' / 'models' / base)).model
    else:
        cfg.model.neck.num_projectors = num
    cfg.model.backbone.depth = depth
    cfg.model.neck.in_channels = 512 if depth < 50 else 2048
    if method == 'Barlow Twins':
        cfg.model.neck.update(hid_channels=barlow_width, out_channels=barlow_width)
        if num is None:
            cfg.model.head.in_channels = barlow_width
    cfg.optim_wrapper.type = 'OptimWrapper'
    for key in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(key, None)
    cfg.optim_wrapper.optimizer.lr = 1e-3  # random images: stay where numbers are finite
    if num is None:  # its names do not all fit MPCL's
        cfg.optim_wrapper.get('paramwise_cfg', {}).pop('custom_keys', None)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).to(device).train()
    if num is not None:
        model.start_training()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def heads_alone(model: Any, batch: int) -> Callable[[], None]:
    """The passes of one step through the projectors and predictors, and M times the base method's loss."""
    neck = model.neck
    M, D, d = neck.num_projectors, neck.in_channels, neck.out_channels
    device = model.balance.weights.device
    rows = lambda *shape: torch.randn(*shape, device=device)  # noqa: E731
    features, z = rows(batch, D), rows(M, batch, d)
    views = 1 if hasattr(model, 'queue') else 2
    passes: list[tuple[Callable, Tensor]] = [(lambda x: neck((x,)), features)] * views
    if hasattr(model, 'predictor'):
        contrast = lambda q: LF.nce(*LF.batch_similarities(q, z, model.temperature))  # noqa: E731
        passes += [(model.predictor, z), (contrast, z)] * views
    elif hasattr(model, 'queue'):
        passes.append((lambda q: LF.queue_contrast(q, z, model.queue.keys, model.temperature)[0], z))
    else:
        other = LF.standardize(z)
        passes.append((lambda y: LF.barlow_twins(LF.standardize(y), other), z))

    def run() -> None:
        for function, x in passes:
            out = function(x.detach().requires_grad_())
            out.backward(torch.ones_like(out))
        if hasattr(model, 'teacher'):
            for _ in range(views):
                with torch.no_grad():
                    model.teacher.module.neck((features,))
        for parameter in model.parameters():
            parameter.grad = None

    return run


def updates_alone(model: Any, wrapper: Any) -> Callable[[], None]:
    """Optimizer step and teacher update of all parameters."""

    def run() -> None:
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        wrapper.optimizer.step()
        model.momentum_update(0.5)

    return run


def saved_bytes(step: Callable[[], None]) -> int:
    """Bytes that a step keeps for its backward pass, each storage once, parameters not counted apart."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(seen.values())


def state_bytes(model: torch.nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def measure(method: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for the base method and one for every M."""
    depth, size, batch = map(int, args.setting.split(':'))
    data = random_views(batch, size, 2)
    rows: list[dict[str, Any]] = []
    steps, heads, updates = [], [], []
    for num in (None, *args.projectors):
        torch.manual_seed(0)
        model, wrapper = build(method, num, depth, args.barlow_width, args.device)
        step = full_step(model, wrapper, data)
        step()  # the optimizer's state
        with FlopCounterMode(display=False) as counter:
            step()
        row = dict(
            method=method,
            projectors=num or 'mmpretrain',
            gflops=counter.get_total_flops() / 1e9,
            saved_mb=saved_bytes(step) / 2**20,
            state_mb=state_bytes(model) / 2**20,
        )
        if args.device != 'cpu':
            torch.cuda.reset_peak_memory_stats()
            step()
            row['peak_mb'] = torch.cuda.max_memory_allocated() / 2**20
        rows.append(row)
        steps.append(step)
        heads.append(heads_alone(model, batch) if num else None)
        updates.append(updates_alone(model, wrapper) if num else None)
    for functions, name in ((steps, 'step'), (heads, 'heads'), (updates, 'updates')):
        times: list[list[float]] = [[] for _ in rows]
        for _ in range(args.repeats + 1):
            for i, function in enumerate(functions):
                times[i].append(seconds(function, args.device) if function else 0.0)
        for row, taken in zip(rows, times):
            row[name] = median(taken[1:])
    one = next((row for row in rows if row['projectors'] == 1), None)
    for row in rows[1:]:
        if one is not None:
            own = sum(row[part] - one[part] for part in ('heads', 'updates'))
            row['rest'] = (row['step'] - one['step'] - own) / one['step']
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        '| method | projectors | step, s | over mmpretrain | GFLOPs | over mmpretrain | heads, s | updates, s '
        '| rest | saved for backward, MB | parameters and buffers, MB |',
        '|---' * 11 + '|',
    ]
    for row in rows:
        base = next(r for r in rows if r['method'] == row['method'] and r['projectors'] == 'mmpretrain')
        rest = f'{100 * row["rest"]:.1f} %' if 'rest' in row else ''
        lines.append(
            f'| {row["method"]} | {row["projectors"]} | {row["step"]:.3f} | {row["step"] / base["step"]:.3f} '
            f'| {row["gflops"]:.1f} | {row["gflops"] / base["gflops"]:.3f} | {row["heads"]:.3f} | {row["updates"]:.3f} '
            f'| {rest} '
            f'| {row["saved_mb"]:.0f} | {row["state_mb"]:.0f} |'
        )
    return lines


def main() -> None:
    args = parse_args()
    start(args.threads)
    described = provenance.record()
    rows = [row for method in args.methods for row in measure(method, args)]
    report(args, 'Cost of projectors', table(rows), (__doc__ or '').split('\n\n', 1)[1], rows, described)


if __name__ == '__main__':
    main()

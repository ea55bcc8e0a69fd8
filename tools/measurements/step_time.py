"""Time and memory of a training step over its necessary passes, ours and mmpretrain's.

The necessary passes are the backbone and the MLP heads on the step's shapes: forward and backward in the online net,
forward in the teacher. Everything else (preprocessing, pooling, losses, optimizer, teacher update) is what the ratio
shows. Full steps and necessary passes alternate in one process, one a row: what an earlier row leaves of the memory
would be part of a later one's time. The median of the paired ratios is reported. On a CPU it is processor time. Memory
is what autograd keeps for the backward pass of a step, over what the same passes keep; MSBReg's against the number of
views K.
"""

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor

from lewel_plugins.running import provenance

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    'LEWEL_B': 'configs/lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'BYOL (mmpretrain)': 'configs/baselines/byol_resnet50_8xb128-lars-coslr-200e_in1k.py',
    'LEWEL_M': 'configs/lewel/lewel-m_resnet50_8xb32-coslr-200e_in1k.py',
    'MoCo v2 (mmpretrain)': 'configs/baselines/mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'SMoG': 'configs/smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
    'SMoG, 30,000 groups': 'configs/smog/smog_resnet50_8xb512-lars-coslr-400e_in1k.py',
    'MPCL on MoCo v2, M = 4': 'configs/mpcl/mpcl-mocov2_resnet50_8xb32-coslr-200e_in1k.py',
    'MPCL on MoCo v3, M = 4': 'configs/mpcl/mpcl-mocov3_resnet50_8xb512-lars-coslr-300e_in1k.py',
    'MPCL on Barlow Twins, M = 4': 'configs/mpcl/mpcl-barlowtwins_resnet50_8xb256-lars-coslr-300e_in1k.py',
    **{f'MSBReg, K = {k}': 'configs/msbreg/msbreg-k4_resnet50_8xb64-lars-coslr-300e_in1k.py' for k in (2, 4, 8)},
}
OPTIONS = {'SMoG, 30,000 groups': {'model.num_groups': 30000}}
SETTINGS = ('18:64:32', '50:160:16')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time of a training step over its necessary passes.')
    parser.add_argument(
        '--settings', nargs='+', default=SETTINGS, metavar='DEPTH:SIZE:BATCH', help='ResNet depth, pixels, images'
    )
    parser.add_argument('--methods', nargs='+', default=list(CONFIGS), choices=list(CONFIGS), help='rows (all)')
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (5)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--bf16', action='store_true', help="the recipes' mixed precision, on a GPU; else float32")
    parser.add_argument(
        '--threads', type=int, help='of PyTorch (its default); 1 on a busy CPU, where waiting threads count'
    )
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    args = parser.parse_args()
    if args.bf16 and args.device == 'cpu':
        parser.error('--bf16 needs --device cuda: mmengine has no mixed precision on a CPU')
    return args


def build(
    method: str, depth: int, device: str, options: dict[str, Any] | None = None, bf16: bool = False
) -> tuple[Any, object]:
    """The recipe's model with a ResNet of this depth, and its optim wrapper in float32 or bfloat16."""
    cfg = Config.fromfile(str(ROOT / CONFIGS[method]))
    cfg.merge_from_dict(OPTIONS.get(method, {}) if options is None else options)
    cfg.model.backbone.depth = depth
    cfg.model.neck.in_channels = 512 if depth < 50 else 2048
    cfg.model.data_preprocessor = cfg.data_preprocessor
    cfg.optim_wrapper.type = 'OptimWrapper'
    for key in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(key, None)
    if bf16:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    cfg.optim_wrapper.optimizer.lr = 1e-3  # random images: stay where numbers are finite
    model = MODELS.build(cfg.model).to(device).train()
    if hasattr(model, 'start_training'):
        model.start_training()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def random_views(batch: int, size: int, count: int) -> dict:
    views = [torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8) for _ in range(count)]
    return dict(inputs=views, data_samples=[])


def full_step(model: Any, wrapper: object, data: dict) -> Callable[[], None]:
    def run() -> None:
        model.train_step(data, wrapper)
        if hasattr(model, 'momentum_update'):
            model.momentum_update(0.5)

    return run


def head_passes(model: Any, f: Tensor) -> tuple[list[tuple[Callable, Tensor]], list[tuple[Callable, Tensor]]]:
    """MLPs of one view, of the online network and of the teacher, each with an input of its shape; f (N, D, H, W)."""
    N, D, H, W = f.shape
    neck = model.neck
    rows = lambda *shape: torch.randn(*shape, device=f.device, dtype=f.dtype)  # noqa: E731
    if hasattr(model, 'balance'):  # MPCL
        heads = [(neck.mlps, rows(N, D))]
        if hasattr(model, 'predictor'):
            heads.append((model.predictor, rows(neck.num_projectors, N, neck.out_channels)))
        return heads, [(model.teacher.module.neck.mlps, rows(N, D))] if hasattr(model, 'teacher') else []
    if hasattr(model, 'predictor'):  # MSBReg, SMoG
        pooled = rows(N, D)
        return [(neck.g, pooled), (model.predictor, rows(N, neck.out_channels))], [
            (model.teacher.module.neck.g, pooled)
        ]
    if hasattr(model, 'teacher'):  # LEWEL
        K, d, c = neck.num_aligned, neck.out_channels, neck.aligned_channels
        teacher = model.teacher.module.neck
        positions, aligned = rows(N, 1 + H * W, D), rows(N, K, D)
        heads = [(neck.g, positions), (neck.p, aligned)]
        if hasattr(model, 'q'):
            heads += [(model.q, rows(N, d)), (model.s, rows(N, K, c))]
        return heads, [(teacher.g, positions), (teacher.p, aligned)]
    mlp = lambda module: lambda y: module((y,))[0]  # noqa: E731
    features = rows(N, D, 1, 1)
    heads = [(mlp(neck), features)]
    if hasattr(model, 'target_net'):
        heads.append((mlp(model.head.predictor), rows(N, 256)))
    target = model.target_net if hasattr(model, 'target_net') else model.encoder_k
    return heads, [(mlp(target.module[1]), features)]


def teacher_backbone(model: Any) -> Callable:
    if hasattr(model, 'teacher'):
        return model.teacher.module.backbone
    if hasattr(model, 'balance'):  # Barlow Twins has none
        return lambda x: None
    return (model.target_net if hasattr(model, 'target_net') else model.encoder_k).module[0]


def directions(model: Any, data: dict) -> int:
    """Views that go through the online network: MoCo's queries are one, and so is SMoG's."""
    one = hasattr(model, 'queue') or hasattr(model, 'groups')
    return 1 if one else len(data['inputs'])


def online_pass(model: Any, x: Tensor, heads: list[tuple[Callable, Tensor]]) -> list[Tensor]:
    return [model.backbone(x)[-1], *(head(y.detach().requires_grad_()) for head, y in heads)]


def precision(x: Tensor, bf16: bool) -> torch.autocast:
    return torch.autocast(x.device.type, torch.bfloat16, enabled=bf16)


def necessary_passes(model: Any, data: dict, bf16: bool = False) -> Callable[[], None]:
    """The passes of one step through backbone and MLPs, on inputs of the right shapes."""
    x = model.data_preprocessor(data, True)['inputs']
    with torch.no_grad(), precision(x[0], bf16):
        f = model.backbone(x[0])[-1]
    heads, teacher_heads = head_passes(model, f)
    through_teacher = teacher_backbone(model)
    online = [p for p in model.parameters() if p.requires_grad]
    grad = torch.randn_like(f)

    def run() -> None:
        for i in range(directions(model, data)):
            with precision(x[i], bf16):
                features, *outs = online_pass(model, x[i], heads)
            features.backward(grad)
            for out in outs:
                out.backward(torch.ones_like(out))
        with torch.no_grad(), precision(x[0], bf16):
            for i in range(directions(model, data)):
                through_teacher(x[i - 1])
                for head, y in teacher_heads:
                    head(y)
        for p in online:
            p.grad = None

    return run


def kept_bytes(model: Any, function: Callable[[], object]) -> int:
    """Memory that autograd keeps for the backward pass of what ``function`` returns, parameters aside."""
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        result = function()
    total = sum(kept.values())
    del result  # until here it has held the graph, so that no address was used twice
    return total


def memory(model: Any, data: dict, bf16: bool = False) -> tuple[int, int]:
    """Bytes kept by a step, and by its necessary passes."""
    x = model.data_preprocessor(data, True)['inputs']
    views = range(directions(model, data))
    with precision(x[0], bf16):
        heads, _ = head_passes(model, model.backbone(x[0])[-1].detach())
        step = kept_bytes(model, lambda: model(x, data['data_samples'], mode='loss'))
        return step, kept_bytes(model, lambda: [online_pass(model, x[i], heads) for i in views])


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


def measure(
    method: str,
    depth: int,
    size: int,
    batch: int,
    repeats: int,
    device: str,
    bf16: bool = False,
    views: int | None = None,
    options: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Seconds and bytes of a step and of its necessary passes; ``options`` go over the recipe's."""
    torch.manual_seed(0)
    model, wrapper = build(method, depth, device, options, bf16)
    data = random_views(batch, size, views or int(method.partition('K = ')[2] or 2))
    full, necessary = full_step(model, wrapper, data), necessary_passes(model, data, bf16)
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
    bytes_step, bytes_passes = memory(model, data, bf16)
    times = dict(step=step, passes=passes, ratio=median(a / b for a, b in pairs), **alone, rest=rest)
    return dict(**times, bytes_step=bytes_step, bytes_passes=bytes_passes)


def start(threads: int | None) -> None:
    """Prepare mmpretrain's registry, schedules that have an end, and PyTorch's threads."""
    if threads:
        torch.set_num_threads(threads)
    init_default_scope('mmpretrain')
    MessageHub.get_current_instance().update_info('max_iters', 10**6)


def _row(threads: int | None, *args: Any) -> dict[str, float]:
    start(threads)
    return measure(*args)


def in_new_process(threads: int | None, *args: Any) -> dict[str, float]:
    """:func:`measure` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context('spawn')) as pool:
        return pool.submit(_row, threads, *args).result()


def report(
    args: argparse.Namespace, title: str, lines: list[str], legend: str, rows: list[dict], described: dict
) -> None:
    """Print the table; with ``--out`` write a json file with all figures, and the table in markdown beside it."""
    table = '\n'.join(lines) + '\n'
    print(table)
    if not args.out:
        return
    out, repeats, legend = args.out, args.repeats, ' '.join(legend.split())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(dict(**described, repeats=repeats, rows=rows), indent=2) + '\n')
    notes = '\n'.join(f'- {key}: {value}' for key, value in described.items())
    out.with_suffix('.md').write_text(f'# {title}\n\n{table}\n{legend}\n\n{notes}\n')


def main() -> None:
    args = parse_args()
    described = provenance.record()
    lines = [
        '| method | ResNet | pixels | batch | images/s | step, s | necessary passes, s | ratio '
        '| memory, MiB | ratio | preprocessing | optimizer | teacher update | pooling, losses and other |',
        '|---' * 14 + '|',
    ]
    results = []
    for setting in args.settings:
        depth, size, batch = map(int, setting.split(':'))
        for name in args.methods:
            row = in_new_process(args.threads, name, depth, size, batch, args.repeats, args.device, args.bf16)
            results.append(dict(method=name, depth=depth, size=size, batch=batch, **row))
            times = f'{batch / row["step"]:.1f} | {row["step"]:.3f} | {row["passes"]:.3f} | {row["ratio"]:.3f}'
            times += f' | {row["bytes_step"] / 2**20:.1f} | {row["bytes_step"] / row["bytes_passes"]:.3f}'
            for part in ('preprocessing', 'optimizer', 'teacher', 'rest'):
                times += f' | {100 * row[part] / row["passes"]:.1f} %'
            lines.append(f'| {name} | {depth} | {size} | {batch} | {times} |')
            print(lines[-1], flush=True)
    shares = (
        'On a CPU seconds are those of all threads together, and images/s are of one core. The ratio of times is the '
        'median over pairs of a step and the passes that it alternates with, not that of the medians beside it. '
        'Memory is what autograd keeps for the backward pass. The last four columns are shares of the necessary '
        'passes. The first three of them were timed alone.'
    )
    report(args, 'Step time and memory over necessary passes', lines, shares, results, described)


if __name__ == '__main__':
    main()

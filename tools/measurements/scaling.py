"""What a step costs as one quantity grows: batch, views K, projectors M, groups, queue, ranks.

Time over that of the necessary passes (see ``step_time.py``) says whether the cost grows with the passes or beside
them; time an image and view, and memory kept for the backward pass over that of the passes, whether it grows faster
than the quantity. With several ranks each has the same batch and one thread, over gloo or NCCL; times are then those of
the wall on rank 0, and want a core or a GPU for each rank.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from step_time import build, measure, necessary_passes, random_views, report, start
from torch import distributed, multiprocessing

from lewel_plugins.running import provenance

# Quantity: method of step_time.py, values, and which option of the recipe it is.
AXES: dict[str, tuple[str, tuple[int, ...], str | None]] = {
    'batch': ('LEWEL_B', (8, 16, 32, 64), None),
    'views': ('MSBReg, K = 2', (2, 4, 8, 16), None),
    'projectors': ('MPCL on MoCo v2, M = 4', (1, 2, 4, 8, 16), 'model.neck.num_projectors'),
    'groups': ('SMoG', (300, 3000, 30000), 'model.num_groups'),
    'queue': ('LEWEL_M', (4096, 16384, 65536), 'model.queue_len'),
    'ranks': ('LEWEL_B', (1, 2), None),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Cost of a step against batch, views, projectors, groups, queue, ranks.'
    )
    parser.add_argument('--axes', nargs='+', default=list(AXES), choices=list(AXES), help='quantities (all)')
    parser.add_argument('--values', nargs='+', type=int, help='of every quantity (each has its own)')
    parser.add_argument('--setting', default='18:64:16', metavar='DEPTH:SIZE:BATCH', help='(18:64:16)')
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (5)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument(
        '--threads', type=int, help='of PyTorch (its default); 1 on a busy CPU, where waiting threads count'
    )
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    return parser.parse_args()


def measure_axis(axis: str, value: int, args: argparse.Namespace) -> dict[str, Any]:
    method, _, option = AXES[axis]
    depth, size, batch = map(int, args.setting.split(':'))
    if axis == 'batch':
        batch = value
    if axis == 'ranks':
        found = measure_ranks(method, depth, size, batch, value, args)
    else:
        views = value if axis == 'views' else 2
        options = {option: value} if option else {}
        found = measure(method, depth, size, batch, args.repeats, args.device, views=views, options=options)
        found['per_view'] = found['step'] / (batch * views)
    return dict(axis=axis, value=value, method=method.partition(',')[0], batch=batch, **found)


def measure_ranks(method: str, depth: int, size: int, batch: int, ranks: int, args: argparse.Namespace) -> dict:
    """Time of rank 0, with ``batch`` images on every rank."""
    with tempfile.TemporaryDirectory() as folder:
        settings = (ranks, folder, method, depth, size, batch, args.repeats, args.device)
        multiprocessing.start_processes(run_rank, settings, nprocs=ranks, start_method='spawn')
        return torch.load(os.path.join(folder, 'result.pt'), weights_only=True)


def run_rank(
    rank: int, ranks: int, folder: str, method: str, depth: int, size: int, batch: int, repeats: int, device: str
) -> None:
    start(1)
    if device != 'cpu':
        device = f'cuda:{rank}'
        torch.cuda.set_device(device)
    backend = 'gloo' if device == 'cpu' else 'nccl'
    distributed.init_process_group(backend, f'file://{folder}/ranks', rank=rank, world_size=ranks)
    torch.manual_seed(0)
    model, wrapper = build(method, depth, device, {})
    necessary = necessary_passes(model, random_views(batch, size, 2))
    torch.manual_seed(rank)
    data = random_views(batch, size, 2)
    ids = None if device == 'cpu' else [rank]
    parallel = MMDistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)

    def full() -> None:
        parallel.train_step(data, wrapper)
        model.momentum_update(0.5)

    pairs = [(on_the_wall(full, device), on_the_wall(necessary, device)) for _ in range(repeats + 1)][1:]
    if rank == 0:
        step, passes = median(a for a, _ in pairs), median(b for _, b in pairs)
        ratio = median(a / b for a, b in pairs)
        found = dict(step=step, passes=passes, ratio=ratio, per_view=step / (2 * batch))
        torch.save(found, os.path.join(folder, 'result.pt'))
    distributed.barrier()
    distributed.destroy_process_group()


def on_the_wall(function: Any, device: str) -> float:
    """Seconds from when all ranks are ready."""
    distributed.barrier()
    if device != 'cpu':
        torch.cuda.synchronize()
    begin = time.perf_counter()
    function()
    if device != 'cpu':
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    args = parse_args()
    start(args.threads)
    described = provenance.record()
    lines = [
        '| quantity | | method | batch | step, s | ms an image and view '
        '| step / necessary passes | memory / that of the passes |',
        '|---' * 8 + '|',
    ]
    rows = []
    for axis in args.axes:
        for value in args.values or AXES[axis][1]:
            row = measure_axis(axis, value, args)
            rows.append(row)
            memory = f'{row["bytes_step"] / row["bytes_passes"]:.3f}' if 'bytes_step' in row else ''
            lines.append(
                f'| {axis} | {value:,} | {row["method"]} | {row["batch"]} | {row["step"]:.3f} '
                f'| {1000 * row["per_view"]:.2f} | {row["ratio"]:.3f} | {memory} |'
            )
            print(lines[-1], flush=True)
    report(args, 'Scaling of a step', lines, (__doc__ or '').split('\n\n', 1)[1], rows, described)


if __name__ == '__main__':
    main()

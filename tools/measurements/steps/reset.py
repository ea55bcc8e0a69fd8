"""Cost of a reset of SMoG's groups: K-means on synthetic features.

Seconds per pass over the features, and the peak of memory beside the features themselves. The features are 10,000
centers with noise, in bfloat16 as SMoG caches them. A reset draws the first centroids and makes at most 20 passes and
one more.
"""

import argparse
import resource
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins.models.kmeans import draw_rows, spherical_kmeans

from . import options
from .report import Report

COLUMNS = (
    'features',
    'groups',
    'moves',
    'seconds per reset',
    'seconds per pass',
    'features, MB',
    'beside the features, MB',
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``step.py reset``."""
    parser.add_argument(
        '--rows', nargs='+', type=int, default=[1_200_000], help='numbers of features (default: 1200000)'
    )
    parser.add_argument('--groups', nargs='+', type=int, default=[3000], help='numbers of groups (default: 3000)')
    parser.add_argument('--channels', type=int, default=128, help='channels of a feature (default: 128)')
    parser.add_argument('--passes', type=int, default=20, help='maximum of moves of the centroids (default: 20)')
    options.add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and write a row per number of features and groups."""
    report = Report("Cost of a reset of SMoG's groups", *COLUMNS)
    for num_rows in args.rows:
        x = features(num_rows, args.channels, args.device)
        for groups in args.groups:
            row = measure(x, groups, args.passes, args.device)
            seconds = f'{row["seconds"]:.2f}', f'{row["seconds_a_pass"]:.3f}'
            memory = (f'{row[name] / 1e6:.0f}' for name in ('bytes_of_features', 'bytes_besides'))
            report.add(row, f'{num_rows} x {args.channels}', groups, row['moves'], *seconds, *memory)
    legend = (__doc__ or '').split('\n\n', 1)[1]
    report.write(args.out, legend, device=args.device, threads=torch.get_num_threads())


def features(num_rows: int, channels: int, device: str) -> Tensor:
    """Return unit rows (n, d) in bfloat16, made in parts, so that making them needs little memory."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(10_000, channels, generator=generator)
    x = torch.empty(num_rows, channels, dtype=torch.bfloat16, device=device)
    for part in x.split(100_000):
        indices = torch.randint(0, len(centers), (len(part),), generator=generator)
        part.copy_(F.normalize(centers[indices] + torch.randn(len(part), channels, generator=generator), dim=1))
    return x


def measure(x: Tensor, groups: int, passes: int, device: str) -> dict[str, Any]:
    """Return the seconds and bytes of one reset."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
    before, begin = peak_bytes(device), time.perf_counter()
    start = draw_rows(x, torch.arange(len(x), device=x.device), groups, seed=0)
    middle = time.perf_counter()
    result = spherical_kmeans(x, start, passes, report=print)  # synchronizes with the device
    end = time.perf_counter()
    return dict(
        rows=len(x),
        groups=groups,
        channels=x.shape[1],
        moves=result.iterations,
        seconds=end - begin,
        seconds_to_draw=middle - begin,
        seconds_a_pass=(end - middle) / (result.iterations + 1),
        bytes_of_features=x.numel() * x.element_size(),
        bytes_besides=peak_bytes(device) - before,
        inertia=result.inertia,
    )


def peak_bytes(device: str) -> int:
    """Return the peak of memory so far, of the GPU or of this process."""
    if device == 'cpu':
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated()

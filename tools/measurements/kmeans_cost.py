"""Cost of a reset of SMoG's groups: K-means on made-up features, a line a size.

``python tools/measurements/kmeans_cost.py --rows 1200000 --groups 3000 --device cuda``. Seconds a pass over the
features, and the most memory used besides the features themselves. Rows of 10,000 centres with noise, in bfloat16 as
they are cached. A reset is the drawing of the start and at most 20 passes and one more.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lewel_plugins.models.kmeans import draw_rows, spherical_kmeans
from lewel_plugins.running import provenance


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Cost of a reset of SMoG's groups.")
    parser.add_argument('--rows', nargs='+', type=int, default=[1_200_000], help='cached features (1200000)')
    parser.add_argument('--groups', nargs='+', type=int, default=[3000], help='number of groups (3000)')
    parser.add_argument('--channels', type=int, default=128, help='channels of a feature (128)')
    parser.add_argument('--passes', type=int, default=20, help='most moves of the centroids (20)')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--out', type=Path, help='json file to write')
    return parser.parse_args()


def features(rows: int, channels: int, device: str) -> Tensor:
    """Unit rows (n, d) bfloat16, made in parts so that the making takes no memory."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10_000, channels, generator=generator)
    x = torch.empty(rows, channels, dtype=torch.bfloat16, device=device)
    for part in x.split(100_000):
        which = torch.randint(0, len(centres), (len(part),), generator=generator)
        part.copy_(F.normalize(centres[which] + torch.randn(len(part), channels, generator=generator), dim=1))
    return x


def peak(device: str) -> int:
    """Bytes: most memory used so far, of the GPU or of this process."""
    if device == 'cpu':
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return torch.cuda.max_memory_allocated()


def measure(x: Tensor, groups: int, passes: int, device: str) -> dict[str, Any]:
    """Seconds and bytes of one reset."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
    before, begin = peak(device), time.perf_counter()
    start = draw_rows(x, torch.arange(len(x), device=x.device), groups, seed=0)
    drawn = time.perf_counter()
    found = spherical_kmeans(x, start, passes, report=print)  # its results on the host end the measurement
    end = time.perf_counter()
    return dict(
        rows=len(x),
        groups=groups,
        channels=x.shape[1],
        moves=found.iterations,
        seconds=end - begin,
        seconds_to_draw=drawn - begin,
        seconds_a_pass=(end - drawn) / (found.iterations + 1),
        bytes_of_features=x.numel() * x.element_size(),
        bytes_besides=peak(device) - before,
        inertia=found.inertia,
    )


def main() -> None:
    args = parse_args()
    results = []
    print('| features | groups | moves | a reset, s | a pass, s | features, MB | besides, MB |\n' + '|---' * 7 + '|')
    for rows in args.rows:
        x = features(rows, args.channels, args.device)
        for groups in args.groups:
            row = measure(x, groups, args.passes, args.device)
            results.append(row)
            memory = f'{row["bytes_of_features"] / 1e6:.0f} | {row["bytes_besides"] / 1e6:.0f}'
            seconds = f'{row["moves"]} | {row["seconds"]:.2f} | {row["seconds_a_pass"]:.3f}'
            print(f'| {rows} x {args.channels} | {groups} | {seconds} | {memory} |', flush=True)
    if args.out:
        described = dict(provenance.record(), device=args.device, threads=torch.get_num_threads())
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(**described, rows=results), indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()

"""Speed of finished or running trainings, from their logs: ``python tools/analysis/throughput.py WORK_DIR ...``.

mmengine logs means over the last 50 iterations. The tool prints the medians of these means, without the first one. The
column ``data`` is the share of a step in which the network waited for its images.
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from mmengine.config import Config

from lewel_plugins.running.entry_point import run_main
from lewel_plugins.visualization.curves import read_curves


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Speed of trainings, from their logs.')
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='folder of a run')
    parser.add_argument('--ranks', type=int, default=1, help='number of processes of each run (default: 1)')
    parser.add_argument('--out', type=Path, help='json file to write')
    return parser.parse_args()


def read_run(work_dir: Path, ranks: int) -> dict[str, Any]:
    """Return the figures of a run.

    Raises:
        FileNotFoundError: If there is no log or no config.
        ValueError: If no step has been logged yet.
    """
    curves = read_curves(work_dir)
    configs = sorted(work_dir.glob('*.py'))
    if not configs:
        raise FileNotFoundError(f'no config in {str(work_dir)!r}')
    if 'time' not in curves or 'data_time' not in curves:
        raise ValueError(f'no step is logged in {str(work_dir)!r} yet')
    step, data = (median(curves[name][1][1:] or curves[name][1]) for name in ('time', 'data_time'))
    batch = Config.fromfile(str(configs[0])).train_dataloader.batch_size * ranks
    row = dict(run=str(work_dir), batch=batch, step=step, images_per_second=batch / step, data_share=data / step)
    if 'memory' in curves:  # only runs on a GPU log memory
        row['memory_mb'] = max(curves['memory'][1])
    return row


def main() -> None:
    args = parse_args()
    rows = [read_run(work_dir, args.ranks) for work_dir in args.work_dirs]
    print('| run | batch | step, s | images/s | data | memory, MB |\n' + '|---' * 6 + '|')
    for row in rows:
        memory = f'{row["memory_mb"]:.0f}' if 'memory_mb' in row else '–'
        print(
            f'| {row["run"]} | {row["batch"]} | {row["step"]:.3f} | {row["images_per_second"]:.1f} '
            f'| {100 * row["data_share"]:.1f} % | {memory} |'
        )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)

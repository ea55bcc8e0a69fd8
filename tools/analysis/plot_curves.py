"""Draw the training curves of one or several runs: ``python tools/analysis/plot_curves.py WORK_DIR ...``."""

import argparse
import json
from pathlib import Path

from lewel_plugins.running.entry_point import run_main
from lewel_plugins.visualization.curves import draw_curves, read_curves


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Draw the training curves of one or several runs as one figure.')
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='folder of a run')
    parser.add_argument('--out', type=Path, default=Path('curves.png'), help='figure to write (default: curves.png)')
    parser.add_argument('--labels', nargs='+', help='names of the runs in the legend (default: names of the folders)')
    parser.add_argument(
        '--baselines',
        type=Path,
        metavar='JSON',
        help='file of tools/analysis/baseline_knn.py, whose accuracies of raw pixels and of random initialization '
        'become horizontal lines (default: baseline_knn.json in the first WORK_DIR, if there is one)',
    )
    args = parser.parse_args()
    if args.labels and len(args.labels) != len(args.work_dirs):
        parser.error(f'{len(args.work_dirs)} work dirs but {len(args.labels)} labels')
    return args


def read_levels(path: Path) -> dict[str, float]:
    """Return the k-NN accuracies in a file of ``baseline_knn.py``, in percent, by name of the features."""
    levels = {}
    for row, metrics in json.loads(path.read_text(encoding='utf-8')).items():
        if not isinstance(metrics, dict):
            continue
        for metric, values in metrics.items():
            if isinstance(values, list):
                k = metric.partition('_k')[2]
                levels[f'{row}, k = {k}' if k else row] = sum(values) / len(values)
    return levels


def main() -> None:
    args = parse_args()
    labels = args.labels or [folder.resolve().name for folder in args.work_dirs]
    if len(set(labels)) < len(labels):
        labels = [str(folder) for folder in args.work_dirs]
    runs = {label: read_curves(folder) for label, folder in zip(labels, args.work_dirs)}
    beside = args.work_dirs[0] / 'baseline_knn.json'
    baselines = args.baselines or (beside if beside.is_file() else None)
    figure = draw_curves(runs, read_levels(baselines) if baselines else None)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)
    print(f'Curves of {len(runs)} run{"s" if len(runs) > 1 else ""} written to {args.out}')


if __name__ == '__main__':
    run_main(main, FileNotFoundError, ValueError)

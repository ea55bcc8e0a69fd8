"""Curves of the monitors in healthy and in faulty trainings, side by side.

They are those of `report_verdicts.py`, by default in `docs/results/monitor_curves.json`.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lewel_plugins.files import read_json

RESULTS = Path(__file__).resolve().parents[2] / 'docs' / 'results' / 'monitor_curves.json'
TITLES = {
    'LEWEL_M': 'LEWEL_M:\nhealthy',
    'BYOL': 'BYOL:\nhealthy',
    'no predictor, no teacher': 'no predictor, no teacher:\ncollapsed',
    'rate ≈ 0': 'rate ≈ 0:\nnot learning',
    '96 images': '96 images:\nmemorizing',
    'identical views': 'identical views:\nshortcut',
}
STYLES: tuple[dict[str, Any], ...] = (
    dict(color='#0072B2', marker='o'),  # Okabe and Ito
    dict(color='#D55E00', marker='s', linestyle='--'),
)
ROWS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ('Loss', (('loss', ''),)),
    ('Spread (std)', (('std', ''),)),
    ('Directions in use\n(RankMe)', (('rank_me', 'embeddings'), ('representation/rank_me', 'backbone'))),
    ('Finds its\nother view, %', (('finds_view/train', 'training images'), ('finds_view/held_out', 'held-out images'))),
    ('LiDAR', (('lidar/train', 'training images'), ('lidar/held_out', 'held-out images'))),
)
Curves = Mapping[str, Any]  # steps and values by the name of the scalar


def of_results(path: Path) -> dict[str, Curves]:
    """Return the curves of trainings, by title.

    Args:
        path: The json file of ``report_verdicts.py``.
    """
    content = read_json(path)
    if content is None:
        sys.exit(f'error: {path} cannot be read')
    curves = {row['name']: row['measures']['curves'] for row in content['rows']}
    missing = [name for name in TITLES if name not in curves]
    if missing:
        sys.exit(f'error: {path} has no training {missing[0]!r}')
    return {title: curves[name] for name, title in TITLES.items()}


def draw(trainings: Mapping[str, Curves]) -> Figure:
    """Draw one column per training, by title, and one row per monitor. All but the losses have one scale per row."""
    rows = [row for row in ROWS if any(name in curves for curves in trainings.values() for name, _ in row[1])]
    figure = Figure(figsize=(2.4 * len(trainings) + 0.6, 1.8 * len(rows) + 0.6), layout='constrained')
    axes = figure.subplots(len(rows), len(trainings), sharex='col', squeeze=False)
    for column, (title, curves) in enumerate(trainings.items()):
        axes[0, column].set_title(title, fontsize=10)
        axes[-1, column].set_xlabel('step')
        for row, (_, scalars) in enumerate(rows):
            _panel(axes[row, column], curves, scalars)
    for row, (label, scalars) in enumerate(rows):
        axes[row, 0].set_ylabel(label)
        if scalars[0][0] != 'loss':
            top = max(axis.get_ylim()[1] for axis in axes[row])
            for axis in axes[row]:
                axis.set_ylim(0, top)
        if len(scalars) > 1:
            axes[row, 0].legend(fontsize=8, frameon=False)
    return figure


def _panel(axis: Axes, curves: Curves, scalars: Sequence[tuple[str, str]]) -> None:
    for (name, label), style in zip(scalars, STYLES):
        steps, values = curves.get(name, ([], []))
        axis.plot(steps, values, label=label or None, markersize=2.5, linewidth=1.3, **style)
    axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axis.grid(alpha=0.3)
    axis.spines[['top', 'right']].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('picture', type=Path, help='svg or png file to write')
    parser.add_argument('--results', type=Path, default=RESULTS, help='json file of report_verdicts.py')
    args = parser.parse_args()
    trainings = of_results(args.results)
    metadata = {'Date': None} if args.picture.suffix == '.svg' else None
    with rc_context({'svg.hashsalt': 'monitors', 'svg.fonttype': 'path'}):
        draw(trainings).savefig(args.picture, metadata=metadata, dpi=110)


if __name__ == '__main__':
    main()

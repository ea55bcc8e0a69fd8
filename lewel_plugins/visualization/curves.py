"""Training curves from the scalars that mmengine's visualizer writes."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Curve = tuple[list[int], list[float]]

# Title, and what a scalar's name must be (``…*``: start with) to stand in the panel.
PANELS = (
    ('Loss', ('loss*',)),
    ('k-NN accuracy, %', ('knn/*',)),
    ('RankMe', ('rank_me', 'representation/rank_me')),
    ('Std of unit features × √d', ('std', 'representation/std')),
    ('Uniformity', ('uniformity', 'representation/uniformity')),
    ('Alignment', ('alignment',)),
    ('Spectrum of the embeddings, × d', ('spectrum_*',)),
    ('Spectrum of the backbone, × D', ('representation/spectrum_*',)),
    ('Learning rate', ('lr',)),
    ('Teacher 1 − α', ('teacher_momentum',)),
    ('Share of groups used', ('groups_used',)),
    ('Accuracy of projectors', ('projector/accuracy_*',)),
    ('Weight of projectors', ('projector/weight_*',)),
    ('Mean cosine between projectors', ('projector/cosine',)),
)
_NAMES = {
    'rank_me': 'embeddings',
    'std': 'embeddings',
    'uniformity': 'embeddings',
    'representation/rank_me': 'backbone, validated',
    'representation/std': 'backbone, validated',
    'representation/uniformity': 'backbone, validated',
}
# Hooks measure these now and then, and mmengine repeats the last value in between.
_RARE = (
    'std',
    'rank_me',
    'uniformity',
    'alignment',
    'groups_used',
    *(f'spectrum_{share}' for share in (0, 25, 50, 75)),
)
_STYLES = ('-', '--', ':', '-.')


def read_curves(work_dir: str | Path) -> dict[str, Curve]:
    """Curves of a run, over all its starts.

    mmengine writes ``<start>/vis_data/scalars.json``, a line a record, and counts validations in epochs by default:
    a validation is put at the last training iteration before it, and what is measured now and then where it was logged,
    up to a log interval later. Where a resumed run has repeated iterations, the later start counts.

    Args:
        work_dir: The run's folder.

    Returns:
        For every scalar, its iterations in rising order and its values.

    Raises:
        FileNotFoundError: There are no scalars in the folder.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'no <start>/vis_data/scalars.json in {str(work_dir)!r}: is it the work dir of a run?')
    points: dict[str, dict[int, float]] = {}
    for file in files:
        iteration, latest, repeated = 0, dict[str, float](), dict[str, int]()
        for number, line in enumerate(file.read_text(encoding='utf-8').splitlines()):
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # a kill in the middle of a line
            is_training = 'iter' in record or 'lr' in record
            iteration = int(record['step']) if is_training else max(iteration, int(record.get('step', 0)))
            if is_training and number == 0:
                _drop_from(points, iteration)
            for name, value in record.items():
                if not isinstance(value, (int, float)):
                    continue
                if name in _RARE and latest.get(name) == value:
                    repeated[name] = iteration
                else:
                    points.setdefault(name, {})[iteration] = latest[name] = value
                    repeated.pop(name, None)
        for name, last in repeated.items():  # so that a value that changes no more is drawn to the end
            points[name][last] = latest[name]
    return {name: (sorted(p), [p[i] for i in sorted(p)]) for name, p in points.items()}


def _drop_from(points: dict[str, dict[int, float]], iteration: int) -> None:
    for curve in points.values():
        for later in [i for i in curve if i >= iteration]:
            del curve[later]


def draw_curves(runs: dict[str, dict[str, Curve]], levels: dict[str, float] | None = None, columns: int = 4) -> Figure:
    """Draw the curves of one or several runs, a panel a quantity; panels without data are left out.

    Args:
        runs: For every run's label, its curves as :func:`read_curves` gives them. One colour a run; if there are
            several, only the total loss of each.
        levels: Labelled horizontal lines in the k-NN panel, e.g. of raw pixels.
        columns: Panels side by side.

    Raises:
        ValueError: There is nothing to draw.
    """
    panels = [(title, wanted) for title, wanted in PANELS if any(_select(c, wanted) for c in runs.values())]
    if not panels:
        raise ValueError(f'none of the runs {", ".join(runs)} has a curve to draw')
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows + 0.3 * (len(runs) > 1)), layout='constrained', dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axis, (title, wanted) in zip(axes, panels):
        _draw_panel(axis, title, wanted, runs, (levels or {}) if title.startswith('k-NN') else {})
    for axis in axes[len(panels) :]:
        axis.remove()
    if len(runs) > 1:
        handles = [axes[0].plot([], [], color=f'C{i % 10}', label=label)[0] for i, label in enumerate(runs)]
        figure.legend(handles=handles, loc='outside upper center', ncols=min(len(runs), 4), frameon=False)
    return figure


def _draw_panel(
    axis: Axes, title: str, wanted: Sequence[str], runs: dict[str, dict[str, Curve]], levels: dict[str, float]
) -> None:
    several = len(runs) > 1
    names = list(dict.fromkeys(name for curves in runs.values() for name in _select(curves, wanted)))
    if several and 'loss' in names:
        names = ['loss']
    for i, curves in enumerate(runs.values()):
        for j, name in enumerate(names):
            if name in curves:
                color, style = (f'C{i % 10}', _STYLES[j % 4]) if several else (f'C{j % 10}', '-')
                # A single point, as of a run that was validated once, is invisible as a line.
                marker = 'o' if len(curves[name][0]) < 15 else ''
                label = None if several else _label(name)
                axis.plot(
                    *curves[name], color=color, linestyle=style, marker=marker, markersize=3, linewidth=1.3, label=label
                )
    if several and len(names) > 1:
        for j, name in enumerate(names):
            axis.plot([], [], color='0.3', linestyle=_STYLES[j % 4], label=_label(name))
    for j, (label, value) in enumerate(levels.items()):
        axis.axhline(value, color='0.45', linestyle=_STYLES[1 + j % 3], linewidth=1.2, label=f'{label} {value:.1f}')
    if title.startswith('Spectrum'):
        axis.set_yscale('log')
    axis.set_title(title, fontsize=11)
    axis.set_xlabel('iteration', fontsize=9)
    axis.tick_params(labelsize=8, labelbottom=True)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(alpha=0.3)
    if len(names) > 1 or levels or (not several and names[0] in _NAMES):
        axis.legend(fontsize=8, framealpha=0.7)


def _select(curves: Iterable[str], wanted: Sequence[str]) -> list[str]:
    stars = tuple(w[:-1] for w in wanted if w.endswith('*'))
    return [name for name in curves if name in wanted or (stars and name.startswith(stars))]


def _label(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    share = name.partition('spectrum_')[2]
    if share:
        return 'largest' if share == '0' else f'at {share} %'
    name = name.removeprefix('projector/accuracy_').removeprefix('projector/weight_')
    return name.removeprefix('knn/').replace('top1_k', 'k = ').replace('top1', 'k-NN')

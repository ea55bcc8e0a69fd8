"""Training curves from the scalars that mmengine's visualizer writes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lewel_plugins.files import read_json_lines

Curve = tuple[list[int], list[float]]

# Title of each panel, and names of its scalars. A name that ends in `*` matches all names that begin like it.
PANELS = (
    ('Loss', ('loss*',)),
    ('k-NN accuracy, %', ('knn/*',)),
    ('Online linear probe, %', ('probe_top1', 'probe/top1')),
    ('RankMe', ('rank_me', 'representation/rank_me')),
    ('LiDAR of the embeddings', ('lidar/*',)),
    ('Std of unit features × √d', ('std', 'representation/std')),
    ('Uniformity', ('uniformity', 'representation/uniformity')),
    ('Alignment', ('alignment',)),
    ('Spectrum of the embeddings, × d', ('spectrum_*',)),
    ('Spectrum of the backbone, × D', ('representation/spectrum_*',)),
    ('Learning rate', ('lr',)),
    ('Teacher 1 − α', ('teacher_momentum',)),
    ('Share of groups used', ('groups_used',)),
    ('Information of groups on time, nats', ('groups_quarter_information', 'groups_quarter_information_shuffled')),
    ('Participation ratio of z', ('groups_participation_ratio',)),
    ('Online and teacher in one group, share', ('groups_agreement',)),
    ('Accuracy of projectors', ('projector/accuracy_*',)),
    ('Weight of projectors', ('projector/weight_*',)),
    ('Mean cosine between projectors', ('projector/cosine',)),
    ('Mean CKA between projectors', ('projector/cka',)),
)
_NAMES = {
    'rank_me': 'embeddings',
    'std': 'embeddings',
    'uniformity': 'embeddings',
    'probe_top1': 'training batches',
    'probe/top1': 'validation images',
    'representation/rank_me': 'backbone, validated',
    'representation/std': 'backbone, validated',
    'representation/uniformity': 'backbone, validated',
    'groups_quarter_information': 'groups',
    'groups_quarter_information_shuffled': 'times shuffled',
}
# Hooks measure these occasionally, and mmengine repeats the last value in between.
_RARE = (
    'std',
    'rank_me',
    'uniformity',
    'alignment',
    'probe_top1',
    *(f'groups_{name}' for name in ('used', 'agreement', 'participation_ratio')),
    *(f'groups_quarter_information{suffix}' for suffix in ('', '_shuffled')),
    *(f'spectrum_{share}' for share in (0, 25, 50, 75)),
)
_TIMES = ('time', 'data_time')  # seconds per step, but per batch in the record of a validation
_MOST_STEPS, _MOST = 2**62, 2**1000  # a step in 64 bits; a value that a float can hold
_STYLES = ('-', '--', ':', '-.')


def read_curves(work_dir: str | Path) -> dict[str, Curve]:
    """Read the curves of a run, over all its starts.

    mmengine writes ``<start>/vis_data/scalars.json`` with one record per line, and counts validations in epochs by
    default. This function puts a validation at the last training iteration before it, and a value that a hook measures
    occasionally at the iteration that logged it, up to one log interval late. If a resumed run repeats iterations, the
    later start replaces the earlier one.

    Args:
        work_dir: Folder of the run.

    Returns:
        Iterations in ascending order and values, by name of the scalar.

    Raises:
        FileNotFoundError: If the folder contains no scalars.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'no <start>/vis_data/scalars.json in {str(work_dir)!r}: is it the work dir of a run?')
    points: dict[str, dict[int, float]] = {}
    for file in files:
        _add_start(points, read_json_lines(file))
    return {name: (sorted(p), [p[i] for i in sorted(p)]) for name, p in points.items()}


def _add_start(points: dict[str, dict[int, float]], records: Iterable[Any]) -> None:
    """Add the scalars of one start to ``points``, the values of each scalar by iteration."""
    records = list(filter(_is_record, records))
    iteration, latest, repeated = 0, dict[str, float](), dict[str, int]()
    first = next((int(record['step']) for record in records if _is_training(record)), None)
    if first is not None:
        _drop_from(points, first)
    if records and records[0].get('step'):  # at 0 it is the validation before the first iteration
        # A start may begin with the validation that the one before has missed, whose step may count epochs.
        iteration = max((i for curve in points.values() for i in curve), default=0)
    for record in records:
        is_training = _is_training(record)
        iteration = int(record['step']) if is_training else max(iteration, int(record.get('step', 0)))
        for name, value in record.items():
            if not _is_number(value) or (name in _TIMES and not is_training):
                continue
            if name in _RARE and latest.get(name) == value:
                repeated[name] = iteration
            else:
                points.setdefault(name, {})[iteration] = latest[name] = value
                repeated.pop(name, None)
    for name, last in repeated.items():  # a value that stops changing is drawn to the end
        points[name][last] = latest[name]


def _is_record(record: Any) -> bool:
    """Return whether a line is what mmengine writes; one that something else has written is left out."""
    if not isinstance(record, dict):
        return False
    step: Any = record.get('step', None if _is_training(record) else 0)
    return _is_number(step) and 0 <= step < _MOST_STEPS


def _is_training(record: dict[str, Any]) -> bool:
    return 'iter' in record or 'lr' in record


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or isinstance(value, int) and abs(value) < _MOST


def _drop_from(points: dict[str, dict[int, float]], iteration: int) -> None:
    for curve in points.values():
        for later in [i for i in curve if i >= iteration]:
            del curve[later]


def draw_curves(runs: dict[str, dict[str, Curve]], levels: dict[str, float] | None = None, columns: int = 4) -> Figure:
    """Draw the curves of one or several runs, with one panel per quantity. Panels without data are left out.

    Args:
        runs: Result of :func:`read_curves` for every run, by label. With several runs, each has one color, and only
            the total loss is drawn.
        levels: Horizontal lines in the k-NN panel by label, e.g. the accuracy of raw pixels.
        columns: Maximum number of panels per row.

    Raises:
        ValueError: If there is nothing to draw.
    """
    panels = [(title, patterns) for title, patterns in PANELS if any(_select(c, patterns) for c in runs.values())]
    if not panels:
        raise ValueError(f'none of the runs {", ".join(runs)} has a curve to draw')
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows + 0.3 * (len(runs) > 1)), layout='constrained', dpi=120)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axis, (title, patterns) in zip(axes, panels):
        _draw_panel(axis, title, patterns, runs, (levels or {}) if title.startswith('k-NN') else {})
    for axis in axes[len(panels) :]:
        axis.remove()
    if len(runs) > 1:
        handles = [axes[0].plot([], [], color=f'C{i % 10}', label=label)[0] for i, label in enumerate(runs)]
        figure.legend(handles=handles, loc='outside upper center', ncols=min(len(runs), 4), frameon=False)
    return figure


def _draw_panel(
    axis: Axes, title: str, patterns: Sequence[str], runs: dict[str, dict[str, Curve]], levels: dict[str, float]
) -> None:
    names = list(dict.fromkeys(name for curves in runs.values() for name in _select(curves, patterns)))
    if len(runs) == 1:
        (curves,) = runs.values()
        for j, name in enumerate(names):
            _draw_curve(axis, curves[name], f'C{j % 10}', label=_label(name))
    else:
        _draw_runs(axis, ['loss'] if 'loss' in names else names, runs)
    for j, (label, value) in enumerate(levels.items()):
        axis.axhline(value, color='0.45', linestyle=_STYLES[1 + j % 3], linewidth=1.2, label=f'{label} {value:.1f}')
    if title.startswith('Spectrum'):
        axis.set_yscale('log')
    axis.set_title(title, fontsize=11)
    axis.set_xlabel('iteration', fontsize=9)
    axis.tick_params(labelsize=8, labelbottom=True)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(alpha=0.3)
    labels = axis.get_legend_handles_labels()[1]
    if len(labels) > 1 or levels or (len(runs) == 1 and names[0] in _NAMES):
        axis.legend(fontsize=8, framealpha=0.7)


def _draw_runs(axis: Axes, names: Sequence[str], runs: dict[str, dict[str, Curve]]) -> None:
    """Draw the curves of several runs, with one color per run and one line style per scalar."""
    for i, curves in enumerate(runs.values()):
        for j, name in enumerate(names):
            if name in curves:
                _draw_curve(axis, curves[name], f'C{i % 10}', _STYLES[j % 4])
    if len(names) > 1:
        for j, name in enumerate(names):
            axis.plot([], [], color='0.3', linestyle=_STYLES[j % 4], label=_label(name))


def _draw_curve(axis: Axes, curve: Curve, color: str, style: str = '-', label: str | None = None) -> None:
    # The line of a single point, as of a run with one validation, is invisible without markers.
    marker = 'o' if len(curve[0]) < 15 else ''
    axis.plot(*curve, color=color, linestyle=style, marker=marker, markersize=3, linewidth=1.3, label=label)


def _select(curves: Iterable[str], patterns: Sequence[str]) -> list[str]:
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith('*'))
    return [name for name in curves if name in patterns or (prefixes and name.startswith(prefixes))]


def _label(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    share = name.partition('spectrum_')[2]
    if share:
        return 'largest' if share == '0' else f'at {share} %'
    name = name.removeprefix('projector/accuracy_').removeprefix('projector/weight_')
    return name.removeprefix('knn/').replace('top1_k', 'k = ').replace('top1', 'k-NN')

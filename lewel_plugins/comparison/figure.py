"""The curves of a comparison as a picture."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lewel_plugins.files import replacing

from .spec import Metric
from .table import Results, RowResult

# Okabe and Ito's colors, which color-blind readers can tell apart.
_COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000', '#8c6d31')
_STYLES = ('-', '-.', ':')  # line styles of the first len(_COLORS) rows, the next ones, …
_COLUMNS = 3  # panels side by side
_ROW_COLUMNS = 4  # the same in a picture that has a line for each row
_LEAST_WIDTH = 8.0  # inches that the legend needs
_LETTER = 0.085  # inches per letter of the legend and the title
_HANDLE = 0.6  # inches per handle of the legend


def draw_curves(results: Results, path: Path) -> bool:
    """Draw one panel per metric that was logged during training.

    A row appears as its mean over seeds, with a band from its lowest to its highest seed, up to the last iteration that
    all its seeds have reached. A row without training appears as a dashed line.

    Args:
        results: Results of the comparison.
        path: The PNG file to write.

    Returns:
        False if there is nothing to draw.
    """
    panels = [
        metric
        for metric in results.metrics
        if metric.curve and any(metric.key in curves for row in results.rows for curves in row.curves.values())
    ]
    if not panels:
        return False
    figure, axes, width = _panels(len(panels))
    for axis, metric in zip(axes, panels):
        _draw_panel(axis, metric, results.rows)
    _save(figure, axes, width, results, 'mean and range', path)
    return True


def draw_series(results: Results, path: Path) -> bool:
    """Draw one panel per metric: its value over the number in which the rows of a series differ, on a log axis.

    Args:
        results: Results of the comparison.
        path: The PNG file to write.

    Returns:
        False if there is nothing to draw.
    """
    panels = [metric for metric in results.metrics if any(row.series and row.of_metric(metric) for row in results.rows)]
    if not panels:
        return False
    figure, axes, width = _panels(len(panels))
    for axis, metric in zip(axes, panels):
        for index, name in enumerate(dict.fromkeys(row.series for row in results.rows if row.series)):
            points = sorted(
                (row.value, summary.mean)
                for row in results.rows
                if row.series == name and row.value is not None and (summary := results.summary(row, metric))
            )
            color, style = _appearance(index)
            axis.plot(*zip(*points or [(np.nan, np.nan)]), style, label=name, color=color, marker='o', markersize=4)
        axis.set_xscale('log')
        axis.set_title(metric.heading, fontsize='medium')
        axis.grid(alpha=0.25)
        axis.spines[['top', 'right']].set_visible(False)
    _save(figure, axes, width, results, 'mean', path)
    return True


def draw_rows(results: Results, path: Path) -> bool:
    """Draw :func:`rows_figure`.

    Args:
        results: Results of the comparison.
        path: The PNG file to write.

    Returns:
        False if there is nothing to draw.
    """
    if not any(row.of_metric(metric) for row in results.rows for metric in results.metrics):
        return False
    with replacing(path) as partial:
        rows_figure(results).savefig(partial, dpi=150, format='png')
    return True


def rows_figure(results: Results) -> Figure:
    """Return one panel per metric: a line for each row, with a dot for each seed and a bar for their mean.

    Args:
        results: Results of the comparison; metrics without values are left out.
    """
    panels = [metric for metric in results.metrics if any(row.of_metric(metric) for row in results.rows)]
    names = [row.name for row in results.rows]
    columns = min(_ROW_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    width = _LETTER * max(map(len, names)) + 2.3 * columns + 0.4
    figure = Figure(figsize=(width, (0.24 * len(names) + 0.7) * lines + 0.5), layout='constrained')
    axes = list(figure.subplots(lines, columns, squeeze=False, sharey=True).flat)
    for axis, metric in zip(axes, panels):
        for place, row in enumerate(results.rows):
            values = list(row.of_metric(metric).values())
            axis.plot(values, [place] * len(values), 'o', color=_COLORS[0], markersize=4, alpha=0.5, markeredgewidth=0)
            if values:
                axis.plot([np.mean(values)], [place], '|', color='black', markersize=11, markeredgewidth=1.6)
        axis.set_title(metric.heading, fontsize='medium')
        axis.grid(alpha=0.25)
        axis.spines[['top', 'right', 'left']].set_visible(False)
        axis.tick_params(left=False)
        axis.set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    for axis in axes[len(panels) :]:
        axis.remove()
    seeds = max(len(row.values) for row in results.rows)
    suffix = f' (dots: {seeds} seeds; bars: their mean)' if seeds > 1 else ' (one seed)'
    figure.suptitle(textwrap.fill(results.title + suffix, int(width / _LETTER)), fontsize='medium')
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes], float]:
    """Return a figure with ``count`` panels, the panels, and its width in inches."""
    columns = min(_COLUMNS, count)
    lines = -(-count // columns)
    width = max(_LEAST_WIDTH, 5.2 * columns + 0.4)
    figure = Figure(figsize=(width, 3.4 * lines + 0.9), layout='constrained')
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count], width


def _save(figure: Figure, axes: Sequence[Axes], width: float, results: Results, shows: str, path: Path) -> None:
    _draw_legend(figure, axes, width)
    seeds = max(len(row.curves) for row in results.rows)  # the seeds that have run
    suffix = f' ({shows} of {seeds} seeds)' if seeds > 1 else ' (one seed)'
    figure.suptitle(textwrap.fill(results.title + suffix, int(width / _LETTER)), fontsize='medium')
    with replacing(path) as partial:
        figure.savefig(partial, dpi=150, format='png')


def _appearance(index: int) -> tuple[str, str]:
    """Return color and line style of a row or a series."""
    return _COLORS[index % len(_COLORS)], _STYLES[index // len(_COLORS) % len(_STYLES)]


def _draw_legend(figure: Figure, axes: Sequence[Axes], width: float) -> None:
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[1:]:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    columns = max(1, int(width / (_LETTER * max(map(len, labels)) + _HANDLE)))
    figure.legend(handles, labels, loc='outside lower center', ncols=min(len(labels), columns), frameon=False)


def _draw_panel(axis: Axes, metric: Metric, rows: Sequence[RowResult]) -> None:
    band = 0.18 if len(rows) <= 6 else 0.06
    for index, row in enumerate(rows):
        color, style = _appearance(index)
        curves = [curves[metric.key] for curves in row.curves.values() if curves.get(metric.key, ([], []))[0]]
        constants = [] if curves else [values[metric.key] for values in row.values.values() if metric.key in values]
        if curves:
            first, last = max(curve[0][0] for curve in curves), min(curve[0][-1] for curve in curves)
            x = sorted(at for at in set.union(*(set(curve[0]) for curve in curves)) if first <= at <= last)
            y = np.array([np.interp(x, *curve) for curve in curves])  # a curve omits repeated values
            marker = 'o' if len(x) <= 30 else None
            axis.plot(
                x, y.mean(0), label=row.name, color=color, linestyle=style, linewidth=1.8, marker=marker, markersize=3
            )
            axis.fill_between(x, y.min(0), y.max(0), color=color, alpha=band, linewidth=0)
        elif constants:
            axis.axhline(float(np.mean(constants)), color=color, label=row.name, linewidth=1.5, linestyle='--')
            if len(constants) > 1:
                axis.axhspan(min(constants), max(constants), color=color, alpha=band, linewidth=0)
    axis.set_title(metric.heading, fontsize='medium')
    axis.set_xlabel('iteration')
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axis.grid(alpha=0.25)
    axis.spines[['top', 'right']].set_visible(False)

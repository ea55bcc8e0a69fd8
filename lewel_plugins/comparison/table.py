"""The results of a comparison, and their tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lewel_plugins.visualization.curves import Curve

from .run import Run
from .spec import Comparison, Metric
from .statistics import PairedDifference, Summary, paired_difference, summarize


@dataclass
class RowResult:
    """The finished runs of a row.

    Attributes:
        curves: Seed → metric → curve.
        values: Seed → metric → value.
        seconds: Seed → time of the run.
    """

    name: str
    per_seed: bool
    baseline: str
    series: str = ''
    value: float | None = None
    curves: dict[int, dict[str, Curve]] = field(default_factory=dict)
    values: dict[int, dict[str, float]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def of_metric(self, metric: Metric) -> dict[int, float]:
        """Return the values of a metric, seed → value."""
        return {seed: values[metric.key] for seed, values in self.values.items() if metric.key in values}


@dataclass
class Results:
    """The results of the finished runs of a comparison."""

    title: str
    seeds: tuple[int, ...]
    metrics: tuple[Metric, ...]
    rows: list[RowResult]

    def row(self, name: str) -> RowResult:
        """Return the row of a name."""
        return next(row for row in self.rows if row.name == name)

    def summary(self, row: RowResult, metric: Metric) -> Summary | None:
        """Summarize a metric over a row's seeds."""
        return summarize(list(row.of_metric(metric).values()))

    def difference(self, row: RowResult, metric: Metric) -> PairedDifference | None:
        """Return the paired difference from the row's baseline, see :meth:`pairs`."""
        return paired_difference(*self.pairs(row, self.row(row.baseline), metric))

    def pairs(self, row: RowResult, other: RowResult, metric: Metric) -> tuple[dict[int, float], dict[int, float]]:
        """Return the values of two rows to compare, seed → value; a row with one run is paired with every seed."""
        if not row.per_seed and not other.per_seed:
            return row.of_metric(metric), other.of_metric(metric)
        return self._spread(row, metric), self._spread(other, metric)

    def _spread(self, row: RowResult, metric: Metric) -> dict[int, float]:
        values = row.of_metric(metric)
        return values if row.per_seed or not values else dict.fromkeys(self.seeds, next(iter(values.values())))


def collect(comparison: Comparison, seeds: Sequence[int], runs: Sequence[Run]) -> Results:
    """Gather the results of the runs that have finished."""
    rows = {
        row.name: RowResult(row.name, row.per_seed, row.baseline or comparison.baseline, row.series, row.value)
        for row in comparison.rows
    }
    for run in runs:
        if not run.is_trained():
            continue
        row = rows[run.row.name]
        curves, single = run.results()
        row.curves[run.seed], row.seconds[run.seed] = curves, run.seconds()
        row.values[run.seed] = dict(single)
        for metric in comparison.metrics:
            value = _value(metric, single, curves.get(metric.key))
            if value is not None:
                row.values[run.seed][metric.key] = value
    return Results(comparison.title, tuple(seeds), comparison.metrics, list(rows.values()))


def _value(metric: Metric, single: Mapping[str, float], curve: Curve | None) -> float | None:
    """Return the value of a run; None if it has none."""
    if metric.key in single:
        return single[metric.key]
    if metric.value == 'last':
        return curve[1][-1] if curve else None
    values = curve[1] if curve else [value for key, value in single.items() if key.startswith(f'{metric.key}/')]
    return (max if metric.higher_is_better else min)(values, default=None)


def markdown_tables(results: Results) -> list[str]:
    """Return the tables of means, paired differences and each seed's values as lines of markdown."""
    headings = [metric.column for metric in results.metrics]
    lines = _means(results, headings)
    lines += ['', 'Differences on the same seeds (in brackets: seeds with the sign of the mean):', '']
    lines += _differences(results, headings)
    if len(results.seeds) > 1:
        lines += ['', 'Each seed (' + ', '.join(map(str, results.seeds)) + '):', '']
        rows = [
            [row.name, *(_seeds_cell(row, metric, results.seeds) for metric in results.metrics)] for row in results.rows
        ]
        lines += markdown_table(['', *headings], rows)
    return lines


def series_tables(results: Results) -> list[str]:
    """Return one table per metric: a line for each series, a column for each of its numbers, the best in bold."""
    values = sorted({row.value for row in results.rows if row.value is not None})
    names = list(dict.fromkeys(row.series for row in results.rows if row.series))
    cells = {(row.series, row.value): row for row in results.rows}
    lines = []
    for metric in results.metrics if names else ():
        lines += ['', f'{metric.heading}:', '']
        rows = []
        for name in names:
            summaries = [
                results.summary(row, metric) if (row := cells.get((name, value))) is not None else None
                for value in values
            ]
            means = [summary.mean for summary in summaries if summary is not None and math.isfinite(summary.mean)]
            best = (max if metric.higher_is_better else min)(means, default=None)
            rows.append([name, *(_series_cell(summary, metric.digits, best) for summary in summaries)])
        lines += markdown_table(['', *(f'{value:g}' for value in values)], rows)
    return lines


def _series_cell(summary: Summary | None, digits: int, best: float | None) -> str:
    cell = _mean_cell(summary, digits)
    return f'**{cell}**' if summary is not None and summary.mean == best else cell


def _means(results: Results, headings: Sequence[str]) -> list[str]:
    rows = []
    for row in results.rows:
        means = [_mean_cell(results.summary(row, metric), metric.digits) for metric in results.metrics]
        count = f'{len(row.values)}/{len(results.seeds) if row.per_seed else 1}'
        minutes = f'{sum(row.seconds.values()) / len(row.seconds) / 60:.1f}' if row.seconds else '—'
        rows.append([row.name, *means, count, minutes])
    return markdown_table(['', *headings, 'runs', 'minutes per run'], rows)


def _differences(results: Results, headings: Sequence[str]) -> list[str]:
    rows = []
    for row in results.rows:
        if row.name != row.baseline:
            cells = [_difference_cell(results.difference(row, metric), metric.digits) for metric in results.metrics]
            rows.append([f'{row.name} − {row.baseline}', *cells])
    return markdown_table(['', *headings], rows)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines of markdown, all columns but the first aligned to the right."""

    def line(cells: Sequence[str]) -> str:
        return '| ' + ' | '.join(cell.replace('|', r'\|') for cell in cells) + ' |'

    return [line(header), '|---' + '|--:' * (len(header) - 1) + '|', *map(line, rows)]


def _mean_cell(summary: Summary | None, digits: int) -> str:
    if summary is None:
        return '—'
    return f'{summary.mean:.{digits}f}' + ('' if summary.std is None else f' ± {summary.std:.{digits}f}')


def _difference_cell(difference: PairedDifference | None, digits: int) -> str:
    if difference is None:
        return '—'
    spread = '' if difference.std is None else f' ± {difference.std:.{digits}f}'
    return f'{difference.mean:+.{digits}f}{spread} ({difference.same_sign}/{difference.n})'


def _seeds_cell(row: RowResult, metric: Metric, seeds: Sequence[int]) -> str:
    values = row.of_metric(metric)
    if not row.per_seed:
        return _mean_cell(summarize(list(values.values())), metric.digits)
    return ', '.join(f'{values[seed]:.{metric.digits}f}' if seed in values else '—' for seed in seeds)


def as_json(results: Results) -> list[dict[str, Any]]:
    """Return the rows with their values, summaries, differences and curves for a json file."""
    return [
        dict(
            name=row.name,
            per_seed=row.per_seed,
            baseline=row.baseline,
            seconds=row.seconds,
            values=row.values,
            summary={m.key: _dict(results.summary(row, m)) for m in results.metrics},
            difference={m.key: _dict(results.difference(row, m)) for m in results.metrics},
            curves={seed: _logged(curves, results.metrics) for seed, curves in row.curves.items()},
        )
        for row in results.rows
    ]


def _logged(curves: dict[str, Curve], metrics: Sequence[Metric]) -> dict[str, dict]:
    return {m.key: dict(zip(('iteration', 'value'), curves[m.key])) for m in metrics if m.key in curves}


def _dict(record: Summary | PairedDifference | None) -> dict[str, Any] | None:
    return None if record is None else record._asdict()


def from_json(record: Mapping[str, Any], metrics: Sequence[Metric]) -> Results:
    """Return the results in a json file of a report.

    Args:
        record: Content of the file. Older ones do not record ``per_seed``, and their rows are taken to have seeds.
        metrics: The metrics to take from it.
    """
    rows = [
        RowResult(
            row['name'],
            row.get('per_seed', True),
            row['baseline'],
            values={int(seed): values for seed, values in row['values'].items()},
        )
        for row in record['rows']
    ]
    return Results(record['title'], tuple(record['seeds']), tuple(metrics), rows)

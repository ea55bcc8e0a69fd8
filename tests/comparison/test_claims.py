"""Verdicts on claims and tables of series, against numbers computed by hand."""

import math
from pathlib import Path

import pytest
from helpers.comparisons import write_comparison

from lewel_plugins.comparison.claims import FAILS, HOLDS, OPEN, UNDECIDED, claims_table, judge
from lewel_plugins.comparison.figure import draw_series
from lewel_plugins.comparison.spec import Claim, Metric, load_comparison
from lewel_plugins.comparison.table import Results, RowResult, series_tables
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core
ACCURACY, ERROR = Metric('accuracy', digits=1), Metric('error', higher_is_better=False)


def row(name: str, key: str, *values: float, **series) -> RowResult:
    return RowResult(name, True, 'base', values={seed: {key: value} for seed, value in enumerate(values)}, **series)


def results(*rows: RowResult) -> Results:
    return Results('made up', (0, 1, 2), (ACCURACY, ERROR), list(rows))


def claim(better: str, worse: str, metric: str = 'accuracy') -> Claim:
    return Claim('Paper, Table 1', better, worse, metric)


def test_verdicts_by_a_variance_that_is_pooled_over_the_claims():
    # Differences from the base: 4, 5, 6 (mean 5, s² 1); 1, 0, 2 (mean 1, s² 1); −1, −3, −5 (mean −3, s² 4).
    # The pooled variance is (1 + 1 + 4) / 3 = 2, and the standard error √(2 / 3) = 0.816.
    base = row('base', 'accuracy', 10, 20, 30)
    rows = (
        base,
        row('far', 'accuracy', 14, 25, 36),
        row('near', 'accuracy', 11, 20, 32),
        row('below', 'accuracy', 9, 17, 25),
    )
    claims = [claim(name, 'base') for name in ('far', 'near', 'below')]
    verdicts = judge(claims, results(*rows))
    assert [verdict.word for verdict in verdicts] == [HOLDS, UNDECIDED, FAILS]
    assert all(verdict.error == pytest.approx(math.sqrt(2 / 3)) for verdict in verdicts)
    text = '\n'.join(claims_table(verdicts))
    assert 'Of 3 claims, 1 hold, 50% of the decided ones; 1 do not, 1 are undecided.' in text
    assert '| Paper, Table 1 | far > base | accuracy | — | +5.0 ± 0.8 (3/3) | holds |' in text


def test_where_lower_is_better_the_sign_turns_and_each_measure_has_its_own_spread():
    rows = results(row('a', 'error', 1.0, 2.0, 3.0), row('b', 'error', 4.0, 6.0, 8.0), row('c', 'accuracy', 1, 2, 3))
    (verdict, other) = judge([claim('a', 'b', 'error'), claim('c', 'a')], rows)
    assert (verdict.word, verdict.difference.mean) == (HOLDS, 4.0)  # differences 3, 4, 5
    assert other.word == OPEN and other.difference is None  # `a` has no accuracy
    assert 'a > b' in claims_table([verdict])[-1] and 'not measured' in claims_table([other])[0]


def test_one_seed_decides_nothing():
    (verdict,) = judge([claim('a', 'b')], results(row('a', 'accuracy', 9.0), row('b', 'accuracy', 1.0)))
    assert (verdict.word, verdict.difference.mean) == (OPEN, 8.0)


def test_series_side_by_side_with_the_best_in_bold(tmp_path):
    rows = results(
        row('x, 0.1', 'accuracy', 50, series='x', value=0.1),
        row('x, 0.3', 'accuracy', 52, series='x', value=0.3),
        row('y, 0.1', 'accuracy', 40, series='y', value=0.1),
        row('y, 0.3', 'accuracy', series='y', value=0.3),  # has not run
    )
    lines = series_tables(rows)
    assert '|  | 0.1 | 0.3 |' in lines and '| x | 50.0 | **52.0** |' in lines and '| y | **40.0** | — |' in lines
    assert draw_series(rows, tmp_path / 'series.png') and (tmp_path / 'series.png').stat().st_size > 5000
    assert series_tables(results(row('a', 'accuracy', 1.0))) == []
    assert not draw_series(results(row('a', 'accuracy', 1.0)), tmp_path / 'none.png')


@pytest.mark.parametrize(
    ('entries', 'message'),
    [
        (dict(claims=[dict(source='P', better='C', worse='A', metric='knn/top1')]), "a claim of P names the row 'C'"),
        (dict(claims=[dict(source='P', better='B', worse='A', metric='top1')]), "a claim of P names the metric 'top1'"),
        (dict(claims=[dict(source='P', best='B')]), 'a claim: unknown best'),
        (dict(rows=[dict(name='A', series='x')]), "row 'A' needs both series and value"),
    ],
)
def test_errors_name_the_entry(tmp_path: Path, entries, message):
    with pytest.raises(SetupError, match=message):
        load_comparison(write_comparison(tmp_path, **entries))

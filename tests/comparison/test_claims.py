"""Verdicts on claims and tables of series, against numbers computed by hand."""

import math
import random
from pathlib import Path

import pytest
from helpers.comparisons import write_comparison

from lewel_plugins.comparison.claims import FAILS, FEW, HOLDS, OPEN, UNDECIDED, claims_table, judge
from lewel_plugins.comparison.figure import draw_rows, draw_series
from lewel_plugins.comparison.spec import Claim, Metric, load_comparison
from lewel_plugins.comparison.table import Results, RowResult, markdown_tables, series_tables
from lewel_plugins.errors import SetupError

pytestmark = pytest.mark.core
ACCURACY, ERROR = Metric('accuracy', digits=1), Metric('error', higher_is_better=False)


def row(name: str, key: str, *values: float, **series) -> RowResult:
    return RowResult(name, True, 'base', values={seed: {key: value} for seed, value in enumerate(values)}, **series)


def results(*rows: RowResult) -> Results:
    return Results('made up', (0, 1, 2), (ACCURACY, ERROR), list(rows))


def claim(better: str, worse: str, metric: str = 'accuracy') -> Claim:
    return Claim('Paper, Table 1', better, worse, metric)


def test_verdicts_by_the_interval_of_each_claim():
    # With two degrees of freedom t is 4.303. Differences from the base: 4, 5, 6 (mean 5, s 1, half 2.48); 1, 0, 2 (mean
    # 1); −1, −3, −5 (mean −3, s 2, half 4.97); −4, −5, −6. A pooled variance would decide the third as well.
    base = row('base', 'accuracy', 10, 20, 30)
    rows = (
        base,
        row('far', 'accuracy', 14, 25, 36),
        row('near', 'accuracy', 11, 20, 32),
        row('noisy', 'accuracy', 9, 17, 25),
        row('below', 'accuracy', 6, 15, 24),
    )
    claims = [claim(name, 'base') for name in ('far', 'near', 'noisy', 'below')]
    verdicts = judge(claims, results(*rows))
    assert [verdict.word for verdict in verdicts] == [HOLDS, UNDECIDED, UNDECIDED, FAILS]
    assert [verdict.half for verdict in verdicts] == pytest.approx([4.302653 * s / math.sqrt(3) for s in (1, 1, 2, 1)])
    text = '\n'.join(claims_table(verdicts))
    assert 'Of 4 claims, 1 hold, 50% of the decided ones; 1 do not, 2 are undecided.' in text
    assert '| Paper, Table 1 | far > base | accuracy | — | +5.0 ± 2.5 (3/3) | holds |' in text


def test_chance_decides_one_claim_in_twenty():
    generator = random.Random(0)
    spreads = [generator.choice((0.5, 3.0)) for _ in range(4000)]
    rows = [
        row(str(i), 'accuracy', *(generator.gauss(0, spread) for _ in range(3))) for i, spread in enumerate(spreads)
    ]
    zero = row('zero', 'accuracy', 0.0, 0.0, 0.0)
    verdicts = judge([claim(str(i), 'zero') for i in range(len(spreads))], results(zero, *rows))
    decided = sum(verdict.word != UNDECIDED for verdict in verdicts) / len(spreads)
    assert decided == pytest.approx(0.05, abs=0.01)  # 2.9 standard errors of this share


def test_where_lower_is_better_the_sign_turns_and_each_measure_has_its_own_spread():
    rows = results(row('a', 'error', 1.0, 2.0, 3.0), row('b', 'error', 4.0, 6.0, 8.0), row('c', 'accuracy', 1, 2, 3))
    (verdict, other) = judge([claim('a', 'b', 'error'), claim('c', 'a')], rows)
    assert (verdict.word, verdict.difference.mean) == (HOLDS, 4.0)  # differences 3, 4, 5, half 2.48
    assert other.word == OPEN and other.difference is None  # `a` has no accuracy
    assert 'a > b' in claims_table([verdict])[-1] and 'not measured' in claims_table([other])[0]


@pytest.mark.parametrize('seeds', [1, 2])
def test_one_or_two_seeds_decide_nothing_whatever_other_claims_have(seeds):
    rows = results(
        row('a', 'accuracy', *[9.0, 9.1][:seeds]),
        row('b', 'accuracy', *[1.0, 1.0][:seeds]),
        row('c', 'accuracy', 9.0, 9.1, 9.2),
        row('d', 'accuracy', 1.0, 1.0, 1.0),
    )
    few, enough = verdicts = judge([claim('a', 'b'), claim('c', 'd')], rows)
    assert (few.word, few.half, few.difference.n) == (FEW, None, seeds) and enough.word == HOLDS
    lines = claims_table(verdicts)
    assert '0 are undecided, 1 have too few seeds.' in lines[0]
    assert f'({seeds}/{seeds}) | too few seeds |' in lines[-2]


def test_a_row_with_one_run_is_paired_with_every_seed():
    once = RowResult('once', False, 'base', values={0: {'accuracy': 4.0}})
    rows = results(row('a', 'accuracy', 9.0, 10.0, 11.0), once, row('base', 'accuracy', 5.0, 5.0, 5.0))
    below, above = judge([claim('a', 'once'), claim('once', 'a')], rows)
    assert below.difference[:3] == (6.0, 1.0, 3) and below.word == HOLDS  # differences 5, 6, 7
    assert above.difference[:3] == (-6.0, 1.0, 3) and above.word == FAILS
    too = RowResult('once, too', False, 'base', values={0: {'accuracy': 1.0}})
    (both,) = judge([claim('once', 'once, too')], results(once, too))
    assert both.difference == (3.0, None, 1, 1) and both.word == FEW


def test_a_value_that_is_not_finite_leaves_the_other_claims(tmp_path):
    rows = results(
        row('base', 'accuracy', 1.0, 2.0, 3.0, series='x', value=0.1),
        row('diverged', 'accuracy', 2.0, math.nan, 9.0, series='x', value=0.01),
        row('fine', 'accuracy', 6.0, 8.0, 10.0, series='x', value=0.3),
    )
    diverged, fine = judge([claim('diverged', 'base'), claim('fine', 'base')], rows)
    assert (diverged.word, fine.word) == (OPEN, HOLDS)  # differences 5, 6, 7
    assert fine.half == pytest.approx(4.302653 / math.sqrt(3))
    assert '1 are not measured' in claims_table([diverged, fine])[0]
    assert '| x | nan ± nan | 2.0 ± 1.0 | **8.0 ± 2.0** |' in series_tables(rows)
    assert '| diverged | nan ± nan | — | 3/3 | — |' in markdown_tables(rows)
    for draw in (draw_series, draw_rows):
        assert draw(rows, tmp_path / 'picture.png')


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
        (dict(claims=[dict(source='P', best='B')]), 'a claim of .*: unknown best'),
        (dict(rows=[dict(name='A', series='x')]), "row 'A' needs both series and value"),
    ],
)
def test_errors_name_the_entry(tmp_path: Path, entries, message):
    with pytest.raises(SetupError, match=message):
        load_comparison(write_comparison(tmp_path, **entries))

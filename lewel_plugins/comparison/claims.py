"""Orders of two rows that a paper states, and whether the results have them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .spec import Claim, Metric
from .statistics import PairedDifference, paired_difference
from .table import Results, markdown_table

STANDARD_ERRORS = 2.0
HOLDS, FAILS, UNDECIDED, OPEN = 'holds', 'does not hold', 'undecided', 'not measured'


class Verdict(NamedTuple):
    """A claim beside the results.

    Args:
        claim: The claim.
        metric: The measure of it.
        difference: ``better − worse`` on the same seeds, with the sign turned where lower is better; None if not
            measured.
        error: Standard error of the mean difference; None if unknown.
        word: ``holds``, ``does not hold``, ``undecided`` or ``not measured``.
    """

    claim: Claim
    metric: Metric
    difference: PairedDifference | None
    error: float | None
    word: str


def judge(claims: Sequence[Claim], results: Results) -> list[Verdict]:
    """Compare each claim with the results.

    A claim is decided if the mean of its paired differences is more than two standard errors from zero. Few seeds
    estimate the spread of a single difference badly, so that the standard error is √(s² / n), with the variance s²
    pooled over all claims by the same measure: their spreads over seeds are taken to be alike.

    Args:
        claims: The claims.
        results: Results of the comparison.
    """
    metrics = {metric.key: metric for metric in results.metrics}
    differences = [_difference(claim, metrics[claim.metric], results) for claim in claims]
    spreads = _pooled(zip((claim.metric for claim in claims), differences))
    return [
        _verdict(claim, metrics[claim.metric], difference, spreads.get(claim.metric))
        for claim, difference in zip(claims, differences)
    ]


def _difference(claim: Claim, metric: Metric, results: Results) -> PairedDifference | None:
    better, worse = (results.row(name).of_metric(metric) for name in (claim.better, claim.worse))
    return paired_difference(better, worse) if metric.higher_is_better else paired_difference(worse, better)


def _pooled(differences: Iterable[tuple[str, PairedDifference | None]]) -> dict[str, float]:
    """Return the standard deviation of a difference by each measure, from n − 1 degrees of freedom per claim."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for key, difference in differences:
        if difference is not None and difference.std is not None:
            sums[key][0] += (difference.n - 1) * difference.std**2
            sums[key][1] += difference.n - 1
    return {key: math.sqrt(squares / freedom) for key, (squares, freedom) in sums.items()}


def _verdict(claim: Claim, metric: Metric, difference: PairedDifference | None, spread: float | None) -> Verdict:
    if difference is None or spread is None:
        return Verdict(claim, metric, difference, None, OPEN)
    error = spread / math.sqrt(difference.n)
    if abs(difference.mean) <= STANDARD_ERRORS * error:
        return Verdict(claim, metric, difference, error, UNDECIDED)
    return Verdict(claim, metric, difference, error, HOLDS if difference.mean > 0 else FAILS)


def claims_table(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the verdicts as lines of markdown, with a count of each word first."""
    counts = {word: sum(verdict.word == word for verdict in verdicts) for word in (HOLDS, FAILS, UNDECIDED, OPEN)}
    decided = counts[HOLDS] + counts[FAILS]
    share = f', {counts[HOLDS] / decided:.0%} of the decided ones' if decided else ''
    summary = f'Of {len(verdicts)} claims, {counts[HOLDS]} hold{share}; '
    summary += f'{counts[FAILS]} do not, {counts[UNDECIDED]} are undecided'
    summary += f', {counts[OPEN]} are not measured.' if counts[OPEN] else '.'
    rule = (
        f'A claim is decided if the mean difference on the same seeds is more than {STANDARD_ERRORS:g} standard errors '
        'from zero, with a variance pooled over the claims by the same measure.'
    )
    rows = [
        [verdict.claim.source, f'{verdict.claim.better} > {verdict.claim.worse}', verdict.metric.heading]
        + [verdict.claim.figure or '—', _here(verdict), verdict.word]
        for verdict in verdicts
    ]
    header = ['the paper', 'claim', 'measure', "the paper's difference", 'here ± standard error', '']
    return [summary, '', rule, '', *markdown_table(header, rows)]


def _here(verdict: Verdict) -> str:
    if verdict.difference is None:
        return '—'
    digits = verdict.metric.digits
    error = '' if verdict.error is None else f' ± {verdict.error:.{digits}f}'
    return f'{verdict.difference.mean:+.{digits}f}{error} ({verdict.difference.same_sign}/{verdict.difference.n})'

"""Orders of two rows that a paper states, and whether the results have them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .spec import Claim, Metric
from .statistics import PairedDifference, paired_difference
from .student_t import quantile
from .table import Results, markdown_table

LEVEL, LEAST_SEEDS = 0.95, 3
HOLDS, FAILS, UNDECIDED, FEW, OPEN = 'holds', 'does not hold', 'undecided', 'too few seeds', 'not measured'


class Verdict(NamedTuple):
    """A claim beside the results.

    Args:
        claim: The claim.
        metric: The measure of it.
        difference: ``better − worse`` on the same seeds, with the sign turned where lower is better; None if not
            measured.
        half: Half the 95% interval of the mean difference; None with fewer than three seeds.
        word: ``holds``, ``does not hold``, ``undecided``, ``too few seeds`` or ``not measured``.
    """

    claim: Claim
    metric: Metric
    difference: PairedDifference | None
    half: float | None
    word: str


def judge(claims: Sequence[Claim], results: Results) -> list[Verdict]:
    """Compare each claim with the results.

    A claim is decided if zero is outside the 95% interval of its mean paired difference, mean ± t·s/√n with Student's
    t. The spread s is the claim's own: those of two methods over seeds differ, by factors up to six on garment scenes,
    so a common one would decide the noisy claims too early. Fewer than three seeds decide nothing.

    Args:
        claims: The claims.
        results: Results of the comparison.
    """
    metrics = {metric.key: metric for metric in results.metrics}
    return [_verdict(claim, metrics[claim.metric], results) for claim in claims]


def _difference(claim: Claim, metric: Metric, results: Results) -> PairedDifference | None:
    better, worse = results.pairs(results.row(claim.better), results.row(claim.worse), metric)
    return paired_difference(better, worse) if metric.higher_is_better else paired_difference(worse, better)


def _verdict(claim: Claim, metric: Metric, results: Results) -> Verdict:
    difference = _difference(claim, metric, results)
    if difference is None or not math.isfinite(difference.mean):
        return Verdict(claim, metric, difference, None, OPEN)
    if difference.n < LEAST_SEEDS or difference.std is None:
        return Verdict(claim, metric, difference, None, FEW)
    half = quantile((1 + LEVEL) / 2, difference.n - 1) * difference.std / math.sqrt(difference.n)
    if abs(difference.mean) <= half:
        return Verdict(claim, metric, difference, half, UNDECIDED)
    return Verdict(claim, metric, difference, half, HOLDS if difference.mean > 0 else FAILS)


def claims_table(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the verdicts as lines of markdown, with a count of each word first."""
    counts = {word: sum(verdict.word == word for verdict in verdicts) for word in (HOLDS, FAILS, UNDECIDED, FEW, OPEN)}
    decided = counts[HOLDS] + counts[FAILS]
    share = f', {counts[HOLDS] / decided:.0%} of the decided ones' if decided else ''
    summary = f'Of {len(verdicts)} claims, {counts[HOLDS]} hold{share}; '
    summary += f'{counts[FAILS]} do not, {counts[UNDECIDED]} are undecided'
    summary += f', {counts[FEW]} have too few seeds' if counts[FEW] else ''
    summary += f', {counts[OPEN]} are not measured.' if counts[OPEN] else '.'
    rule = (
        'A claim is decided if zero is outside the 95% interval of the mean difference on the same seeds, by '
        f"Student's t with the claim's own spread, and if there are {LEAST_SEEDS} seeds. Nothing corrects for the "
        'number of claims: one in twenty would be decided by chance if no two rows differed.'
    )
    rows = [
        [verdict.claim.source, f'{verdict.claim.better} > {verdict.claim.worse}', verdict.metric.heading]
        + [verdict.claim.figure or '—', _here(verdict), verdict.word]
        for verdict in verdicts
    ]
    header = ['the paper', 'claim', 'measure', "the paper's difference", 'here ± half of the 95% interval', '']
    return [summary, '', rule, '', *markdown_table(header, rows)]


def _here(verdict: Verdict) -> str:
    if verdict.difference is None:
        return '—'
    digits = verdict.metric.digits
    half = '' if verdict.half is None else f' ± {verdict.half:.{digits}f}'
    return f'{verdict.difference.mean:+.{digits}f}{half} ({verdict.difference.same_sign}/{verdict.difference.n})'

"""Mean, spread and paired differences."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple


class Summary(NamedTuple):
    """Mean, sample standard deviation (divisor n − 1; None for one value) and number of values."""

    mean: float
    std: float | None
    n: int


class PairedDifference(NamedTuple):
    """Differences to the baseline on the same seeds: mean, sample standard deviation, number of seeds, and of
    those whose difference has the mean's sign."""

    mean: float
    std: float | None
    n: int
    same_sign: int


def summarize(values: Sequence[float]) -> Summary | None:
    """None if there are no values."""
    if not values:
        return None
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference | None:
    """Differences ``values − baseline`` over the seeds that both have; None if they share none.

    Args:
        values: Seed → value.
        baseline: Seed → value.
    """
    differences = [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())]
    summary = summarize(differences)
    if summary is None:
        return None
    same_sign = sum(difference * summary.mean > 0 for difference in differences)
    return PairedDifference(*summary, same_sign)

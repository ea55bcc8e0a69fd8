"""Mean, spread and paired differences."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import NamedTuple


class Summary(NamedTuple):
    """Mean, sample standard deviation (divisor n − 1; None for one value) and number of values.

    Mean and deviation are NaN if a value is NaN or infinite.
    """

    mean: float
    std: float | None
    n: int


class PairedDifference(NamedTuple):
    """Differences from the baseline on the same seeds.

    Args:
        mean: Their mean.
        std: Their sample standard deviation; None for one seed.
        n: Number of seeds.
        same_sign: Number of seeds whose difference has the sign of the mean.
    """

    mean: float
    std: float | None
    n: int
    same_sign: int


def summarize(values: Sequence[float]) -> Summary | None:
    """Summarize values; None if there are none."""
    if not values:
        return None
    if not all(map(math.isfinite, values)):
        return Summary(math.nan, math.nan if len(values) > 1 else None, len(values))
    return Summary(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference | None:
    """Summarize the differences ``values − baseline`` over the seeds that both have; None if they share none.

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

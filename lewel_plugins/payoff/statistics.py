"""The uncertainty of a paired difference: over seeds, and over the test images.

Per seed, both arms get the same label draw, order and head, so that the difference of their scores has less noise than
either. A difference has two sources of noise, and an interval that knows only one is too narrow: another seed would
train other networks (s²/n), and another test set would hold other images (v/G). A test set counts by its groups of
images that resemble each other, not by its images.
"""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from lewel_plugins.comparison.statistics import paired_difference
from lewel_plugins.comparison.student_t import quantile, survival

LEVEL = 0.95
LEAST_SEEDS_OF_A_P = 6  # a sign-flip test cannot go below p = 0.0625 with five


class ImageNoise(NamedTuple):
    """The noise of the test set.

    Attributes:
        variance: v, over groups of test images, of the seed-averaged paired score.
        groups: G, their number.
    """

    variance: float
    groups: int

    @property
    def of_mean(self) -> float:
        """v/G, the variance of the mean."""
        return self.variance / self.groups


class Estimate(NamedTuple):
    """A paired difference with its 95% interval.

    Attributes:
        differences: One per seed.
        mean: Their mean.
        std: Their sample standard deviation; None for one seed.
        same_sign: Seeds whose difference has the sign of the mean.
        noise: The noise of the test set; None if it is unknown.
        error: Standard error of the mean; None for one seed.
        df: Degrees of freedom of the interval; None for one seed.
        low: Lower bound of the interval; None for one seed.
        high: Upper bound.
    """

    differences: tuple[float, ...]
    mean: float
    std: float | None
    same_sign: int
    noise: ImageNoise | None
    error: float | None = None
    df: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(self.differences)


def estimate(differences: Sequence[float], noise: ImageNoise | None = None) -> Estimate:
    """Return the mean difference with the interval mean ± t·√(s²/n + v/G).

    Args:
        differences: Paired differences, one per seed, at least one.
        noise: v and G; None to leave the noise of the test set out.
    """
    summary = paired_difference(dict(enumerate(differences)), dict.fromkeys(range(len(differences)), 0.0))
    if summary is None:
        raise ValueError('an estimate needs at least one difference')
    result = Estimate(tuple(differences), summary.mean, summary.std, summary.same_sign, noise)
    if summary.std is None:
        return result
    error, df = standard_error(summary.std, summary.n, noise)
    half = quantile((1 + LEVEL) / 2, df) * error
    return result._replace(error=error, df=df, low=summary.mean - half, high=summary.mean + half)


def standard_error(std: float, seeds: int, noise: ImageNoise | None) -> tuple[float, float]:
    """Return √(s²/n + v/G) and its degrees of freedom by Welch and Satterthwaite.

    Args:
        std: s.
        seeds: n, at least 2.
        noise: v and G.
    """
    parts = [(std**2 / seeds, seeds - 1)]
    if noise is not None and noise.groups > 1:
        parts.append((noise.of_mean, noise.groups - 1))
    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return 0.0, float(seeds - 1)
    df = total**2 / math.fsum(variance**2 / freedom for variance, freedom in parts)
    return math.sqrt(total), df


def image_noise(paired: np.ndarray, groups: Sequence[int]) -> ImageNoise:
    """Return the noise of the test set in the mean of paired scores.

    With groups of equal size, v is the sample variance of their means. In general it is that of the linearized mean
    over images, in which a group counts by its size.

    Args:
        paired: Difference of the two arms' scores of each test image, averaged over seeds, (N,).
        groups: Group of each image, N of them.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1
    if count < 2:
        return ImageNoise(0.0, count)
    deviations = np.bincount(index, weights=paired - paired.mean()) * count / len(paired)
    return ImageNoise(float(np.square(deviations).sum() / (count - 1)), count)


def accuracy_noise(paired: np.ndarray, groups: Sequence[int]) -> ImageNoise:
    """Return the noise of the test set in the difference of two accuracies.

    It is :func:`image_noise` with two groups more, one that the arm wins and one that it loses, as in Bonett and Price,
    *Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired Data*, 2012. The sample
    variance is 0 if no test image tells the arms apart, however few there are.

    Args:
        paired: Difference of the two arms' scores of each test image in points, averaged over seeds, (N,).
        groups: Group of each image, N of them.
    """
    noise = image_noise(paired, groups)
    if noise.groups < 2:
        return noise
    squares = noise.variance * (noise.groups - 1) + 2 * 100.0**2
    return ImageNoise(squares / (noise.groups + 1), noise.groups)


def resamples(groups: Sequence[int], repeats: int = 1000, seed: int = 0) -> np.ndarray:
    """Return how often each test image counts in bootstrap samples of the groups, (repeats, N).

    Args:
        groups: Group of each test image.
        repeats: Number of samples.
        seed: Seed of the draws.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    count = int(index.max()) + 1
    draws = np.random.default_rng(seed).integers(0, count, (repeats, count))
    return np.stack([np.bincount(draw, minlength=count)[index] for draw in draws])


def bootstrap_noise(differences: np.ndarray, groups: Sequence[int]) -> ImageNoise:
    """Return the noise of the test set in a difference that is no mean over images, such as one of average precisions.

    Args:
        differences: Seed-averaged paired difference on each sample of :func:`resamples`, (repeats,).
        groups: Group of each test image.
    """
    count = len(np.unique(np.asarray(groups)))
    return ImageNoise(float(np.var(differences, ddof=1)) * count, count)


def two_sided_p(result: Estimate, value: float = 0.0) -> float:
    """Return the p-value of the hypothesis that the true difference is ``value``, by the t of the interval."""
    assert result.error is not None and result.df is not None
    distance = abs(result.mean - value)
    if result.error == 0:
        return float(distance == 0)
    return min(1.0, 2 * survival(distance / result.error, result.df))


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """Return the p-value of a sign-flip test, two-sided and exact; None below six seeds, where it cannot be small.

    Args:
        differences: One per seed; of more than 16, the first 16 count.
    """
    values = np.asarray(differences[:16])
    if len(values) < LEAST_SEEDS_OF_A_P:
        return None
    signs = np.array(list(product((1, -1), repeat=len(values))))
    sums = np.abs(signs @ values)
    return float(np.mean(sums >= abs(values.sum()) - 1e-12))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm for their number, in their order."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted

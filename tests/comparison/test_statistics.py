"""Statistics against numbers computed by hand."""

import math

import pytest

from lewel_plugins.comparison.statistics import paired_difference, summarize

pytestmark = pytest.mark.core


def test_summary():
    # Mean of 1, 2, 6 is 3; squared deviations 4 + 1 + 9 = 14; divisor n − 1 = 2.
    mean, std, n = summarize([1.0, 2.0, 6.0])
    assert (mean, n) == (3.0, 3)
    assert std == pytest.approx(7**0.5)
    assert summarize([4.0]) == (4.0, None, 1)
    assert summarize([]) is None


@pytest.mark.parametrize('values', [[math.nan, 1.0], [math.inf, 1.0], [math.inf, -math.inf], [1.0, 2.0, math.nan]])
def test_values_that_are_not_finite(values):
    mean, std, n = summarize(values)
    assert math.isnan(mean) and math.isnan(std) and n == len(values)
    mean, std, n, same_sign = paired_difference(dict(enumerate(values)), {0: 1.0, 1: 2.0, 2: 3.0})
    assert math.isnan(mean) and math.isnan(std) and (n, same_sign) == (len(values), 0)


def test_one_value_that_is_not_finite():
    mean, std, n = summarize([math.nan])
    assert math.isnan(mean) and (std, n) == (None, 1)


def test_paired_difference_uses_the_seeds_that_both_have():
    # Seeds 0, 1, 2: differences 3, −1, 4; mean 2; squared deviations 1 + 9 + 4 = 14; divisor 2.
    mean, std, n, same_sign = paired_difference({0: 5.0, 1: 1.0, 2: 9.0, 7: 99.0}, {2: 5.0, 1: 2.0, 0: 2.0, 8: 0.0})
    assert (mean, n, same_sign) == (2.0, 3, 2)
    assert std == pytest.approx(7**0.5)


def test_paired_difference_of_few_seeds():
    assert paired_difference({0: 1.0}, {0: 3.0}) == (-2.0, None, 1, 1)
    assert paired_difference({0: 1.0}, {1: 3.0}) is None
    assert paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0}) == (0.0, 0.0, 2, 0)

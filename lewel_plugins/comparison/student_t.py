"""Student's t distribution with any number of degrees of freedom, without scipy."""

import math

_LEAST = 1e-300  # stands for zero in a denominator
_TERMS = 500


def survival(t: float, df: float) -> float:
    """Return P(T > t).

    Args:
        t: Any number.
        df: Degrees of freedom, positive.
    """
    if df <= 0:
        raise ValueError(f'df must be positive, got {df}')
    tail = 0.5 * _incomplete_beta(df / (df + t * t), df / 2, 0.5)
    return tail if t >= 0 else 1 - tail


def quantile(p: float, df: float) -> float:
    """Return the t for which P(T ≤ t) = p.

    Args:
        p: Probability, 0.5 ≤ p < 1.
        df: Degrees of freedom, positive.
    """
    if not 0.5 <= p < 1:
        raise ValueError(f'p must be at least 0.5 and below 1, got {p}')
    low, high = 0.0, 1.0
    while survival(high, df) > 1 - p:
        low, high = high, 2 * high
    while high - low > 1e-12 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if survival(middle, df) > 1 - p else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), DLMF 8.17."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly
        return 1 - _incomplete_beta(1 - x, b, a)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Return 1 + d_1/(1 + d_2/(1 + …)), the continued fraction of DLMF 8.17.22, by the method of Lentz."""
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, _TERMS):
        m = i // 2
        if i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / ((1 + term * d) or _LEAST)
        c = (1 + term / c) or _LEAST
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value

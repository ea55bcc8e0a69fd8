"""The same search for every arm and task: three rates, and one more if the best is at the edge."""

from collections.abc import Callable, Sequence

_FACTORS = (0.3, 1.0, 3.0)  # times the rate of the recipe
GRIDS = {
    'linear': (0.04, 0.4, 4.0),
    'finetune': (0.01, 0.03, 0.1),
    'detector': _FACTORS,
    'segmenter': _FACTORS,
}
SEARCH_SHARE = 0.2  # share of the training labels that judges, and that the search does not train on


def search_rate(grid: Sequence[float], score: Callable[[float], float]) -> tuple[float, dict[float, float]]:
    """Return the best rate, and the score of each that was tried. Of equals, the lowest rate.

    Args:
        grid: Rates in a geometric sequence, ascending, at least two.
        score: Trains with a rate, and returns the accuracy on labels that are set aside.
    """
    scores = {rate: score(rate) for rate in grid}
    best = _best(scores)
    if best == grid[0]:
        further = grid[0] * grid[0] / grid[1]
    elif best == grid[-1]:
        further = grid[-1] * grid[-1] / grid[-2]
    else:
        return best, scores
    further = float(f'{further:.4g}')
    scores[further] = score(further)
    return _best(scores), dict(sorted(scores.items()))


def num_searched() -> int:
    """Return the largest number of rates of a search."""
    return max(map(len, GRIDS.values())) + 1


def _best(scores: dict[float, float]) -> float:
    return max(sorted(scores), key=lambda rate: scores[rate])

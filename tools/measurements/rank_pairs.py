"""How often RankMe, and the spread, order two trainings as their 20-NN accuracy does, in the results of comparisons.

Both are measured on the backbone's features in validation; the spread is their `std`. Each cell counts pairs in which
the higher measure goes with the higher accuracy: at the end of two seeds of a row, at the end of two rows of a
comparison under the same seed, or at the first and the last validation of a training. By chance, it would be half of
them. Pairs with equal values are left out, and a pair that is in several comparisons counts once. Pairs share
trainings, so that they say less than as many independent ones.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from steps.report import Report

from lewel_plugins.files import read_json

ROOT = Path(__file__).resolve().parents[2]
ACCURACY = 'knn/top1_k20'
MEASURES = dict(rank_me='representation/rank_me', spread='representation/std')
Row = Mapping[str, Any]  # a row of a comparison's json file
Pair = tuple[Mapping[str, float], Mapping[str, float]]  # the values of two trainings, or of two moments of one


def of_seeds(rows: Sequence[Row]) -> Iterator[Pair]:
    """Yield the pairs of two seeds of a row."""
    for row in rows:
        yield from combinations(row['values'].values(), 2)


def of_rows(rows: Sequence[Row]) -> Iterator[Pair]:
    """Yield the pairs of two rows under the same seed."""
    for seed in sorted({seed for row in rows for seed in row['values']}):
        yield from combinations([row['values'][seed] for row in rows if seed in row['values']], 2)


def of_validations(rows: Sequence[Row]) -> Iterator[Pair]:
    """Yield the pairs of the first and the last validation of a training."""
    for row in rows:
        for curves in row['curves'].values():
            first, last = ({key: curve['value'][end] for key, curve in curves.items()} for end in (0, -1))
            yield first, last


PAIRS: tuple[tuple[str, str, Callable[[Sequence[Row]], Iterator[Pair]]], ...] = (
    ('garment-scenes', 'two seeds of a row', of_seeds),
    ('garment-scenes', 'two rows, the same seed', of_rows),
    ('garment-scenes', 'first and last validation', of_validations),
    ('cifar10', 'two rows, the same seed', of_rows),
)


def count(pairs: Sequence[Pair], measure: str) -> dict[str, int]:
    """Return how many different pairs a measure orders as the accuracy does, and the number of pairs."""
    is_ordered: dict[frozenset, bool] = {}
    for pair in pairs:
        if all(measure in values and ACCURACY in values for values in pair):
            (a, b), (x, y) = ([values[key] for values in pair] for key in (measure, ACCURACY))
            if a != b and x != y:
                is_ordered[frozenset([(a, x), (b, y)])] = (a > b) == (x > y)
    return dict(ordered=sum(is_ordered.values()), pairs=len(is_ordered))


def cell(counts: Mapping[str, int]) -> str:
    """Return counts as a cell of the table."""
    ordered, pairs = counts['ordered'], counts['pairs']
    return f'{ordered} of {pairs} ({ordered / pairs:.0%})' if pairs else '–'


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('--results', type=Path, default=ROOT / 'docs' / 'results', help='folder of the json files')
    parser.add_argument('--out', type=Path, help='json file to write, with a markdown table beside it')
    args = parser.parse_args()
    report = Report('RankMe, spread and accuracy', 'data', 'pairs', 'RankMe', 'spread')
    for data, name, pairs_of in PAIRS:
        pairs: list[Pair] = []
        files = []
        for path in sorted(args.results.glob(f'*_{data}.json')):
            content = read_json(path)
            if isinstance(content, dict) and all('values' in row for row in content['rows']):
                own = list(pairs_of(content['rows']))
                if count(own, MEASURES['rank_me'])['pairs']:
                    pairs += own
                    files.append(path.name)
        counts = {measure: count(pairs, key) for measure, key in MEASURES.items()}
        report.add(dict(data=data, pairs=name, files=files, **counts), data, name, *map(cell, counts.values()))
    report.write(args.out, (__doc__ or '').split('\n\n', 1)[1])


if __name__ == '__main__':
    main()

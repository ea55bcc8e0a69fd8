"""Which labeled images train, which test, and how many labels are given away."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import plural, show

ALL = 'all'
LEAST_TEST_GROUPS, FEW_TEST_GROUPS = 2, 5


@dataclass(frozen=True)
class Subset:
    """Labels to train with.

    Args:
        key: Short name, such as ``5-per-class``, ``0.1`` or ``all``.
        shots: Images per class; None for a share.
        fraction: Share of every class; None for shots.
    """

    key: str
    shots: int | None = None
    fraction: float | None = None

    @property
    def words(self) -> str:
        """What a sentence calls it, as in ``with 10% of the labels``."""
        if self.shots is not None:
            return f'with {plural(self.shots, "label")} per class'
        return 'with all labels' if self.fraction == 1 else f'with {100 * (self.fraction or 0):g}% of the labels'

    def count(self, size: int) -> int:
        """Return the number of images to draw from a class with so many."""
        if self.shots is not None:
            return min(self.shots, size)
        return max(1, round((self.fraction or 0) * size))


def subsets(shots: Sequence[int], fractions: Sequence[float]) -> list[Subset]:
    """Return subsets of labels, from few labels to all.

    Args:
        shots: Images per class.
        fractions: Shares of the labels; all labels are always among the subsets.

    Raises:
        SetupError: A number is out of range.
    """
    for number in shots:
        if number < 1:
            raise SetupError(f'shots must be at least 1, got {number}')
    for share in fractions:
        if not 0 < share <= 1:
            raise SetupError(f'--fractions must be above 0 and at most 1, got {share:g}')
    shares = sorted({*fractions, 1.0})
    return [
        *(Subset(f'{number}-per-class', shots=number) for number in sorted(set(shots))),
        *(Subset(ALL if share == 1 else f'{share:g}', fraction=share) for share in shares),
    ]


def distinct_subsets(candidates: Sequence[Subset], targets: Sequence[int]) -> list[Subset]:
    """Return the subsets that differ from each other and are smaller than all labels, and all labels.

    Args:
        candidates: The subsets, all labels last.
        targets: Class of each training image.
    """
    sizes = Counter(targets)
    counts = {subset: tuple(subset.count(size) for size in sizes.values()) for subset in candidates}
    last, seen = candidates[-1], {counts[candidates[-1]]}
    result = []
    for subset in candidates[:-1]:
        if counts[subset] not in seen:
            result.append(subset)
            seen.add(counts[subset])
    return [*result, last]


def split_groups(targets: Sequence[int], groups: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Split images by groups, such that about the same share of every class is set aside.

    A class of a single group is only trained on.

    Args:
        targets: Class of each image.
        groups: Group of each image.
        share: Share to set aside, between 0 and 1.
        seed: Seed of the draw.

    Returns:
        Indices of the images to train on, and of those set aside, ascending.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    by_class: dict[int, list[list[int]]] = defaultdict(list)
    for group in sorted(members):
        count = Counter(targets[index] for index in members[group])
        by_class[max(sorted(count), key=lambda label: count[label])].append(members[group])
    rng = np.random.default_rng([seed, 0x5EED])
    aside: list[int] = []
    for label in sorted(by_class):
        candidates = by_class[label]
        order = [candidates[i] for i in rng.permutation(len(candidates))]
        aside += _take(order, share * sum(map(len, order)))
    chosen = set(aside)
    return [index for index in range(len(targets)) if index not in chosen], sorted(chosen)


def set_aside(
    targets: Sequence[int], groups: Sequence[int], train: Sequence[int], share: float
) -> tuple[list[int], list[int]]:
    """Split the images to train with, for a choice: indices to train on, and of a share that judges.

    Args:
        targets: Class of each image.
        groups: Group of each image.
        train: Indices of the images to train with.
        share: Share that judges.
    """
    fit, judge = split_groups([targets[i] for i in train], [groups[i] for i in train], share, 0)
    return [train[i] for i in fit], [train[i] for i in judge]


def _take(groups: Sequence[Sequence[int]], target: float) -> list[int]:
    """Return the images of the groups that come closest to a number of images: at least one group, and never all."""
    part: list[int] = []
    left = len(groups)
    for group in groups:
        if left < 2 or (part and len(part) >= target):
            break
        if not part and len(group) > target and any(len(other) < len(group) for other in groups):
            continue  # a large group would be the whole test
        if len(part) + len(group) / 2 <= target or not part:
            part += group
            left -= 1
    if not part and len(groups) > 1:
        smallest = min(groups, key=len)
        part = list(smallest)
    return part


def check_test_groups(groups: Sequence[int], test: Sequence[int]) -> list[str]:
    """Refuse test images of a single group, whose noise cannot be estimated, and return warnings about few groups.

    Args:
        groups: Group of each image.
        test: Indices of the test images.

    Raises:
        SetupError: They are in fewer than two groups.
    """
    count = len({groups[i] for i in test})
    if count < LEAST_TEST_GROUPS:
        raise SetupError(
            f'the test images are in {plural(count, "group")}, of images that resemble each other or that --group-by '
            f'keeps together; {LEAST_TEST_GROUPS} are the least, and {FEW_TEST_GROUPS} or more are better: '
            'the noise of the test images is that between groups'
        )
    if count < FEW_TEST_GROUPS:
        return [f'the test images are in {count} groups, which show only large differences']
    return []


def check_split(
    targets: Sequence[int], groups: Sequence[int], train: Sequence[int], test: Sequence[int], classes: Sequence[str]
) -> list[str]:
    """Refuse a split that cannot answer anything, and return warnings about a poor one.

    Args:
        targets: Class of each image.
        groups: Group of each image.
        train: Indices of the images to train on.
        test: Indices of the test images.
        classes: Names of the classes.

    Raises:
        SetupError: Fewer than two classes have test images, or these are in fewer than two groups.
    """
    trained, tested = {targets[i] for i in train}, {targets[i] for i in test}
    if len(tested) < 2 or len(trained) < 2:
        raise SetupError(
            f'{plural(len(tested), "class", "classes")} of {len(classes)} can be tested, two are the least: the images '
            'of the others are in one group each, of images that resemble each other or that --group-by keeps together'
        )
    untested = [show(classes[label]) for label in sorted(trained - tested)]
    warnings = check_test_groups(groups, test)
    if untested:
        names = ', '.join(untested[:3]) + (f' and {len(untested) - 3} more' if len(untested) > 3 else '')
        what = 'class has' if len(untested) == 1 else 'classes have'
        warnings.append(f'{len(untested)} {what} a single group of images and none to test with: {names}')
    if len(test) < 200:
        warnings.append(f'{plural(len(test), "test image")} show only large differences')
    return warnings

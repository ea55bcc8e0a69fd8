"""Images that must not be split between training and test, because they resemble each other."""

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.packed import path_without_shard
from lewel_plugins.planning.copies import NEAR
from lewel_plugins.planning.findings import plural
from lewel_plugins.planning.labels import Labels

FOLDER = 'folder'
_BITS = 64
_BANDS = 5  # hashes that differ in at most 4 bits are equal in at least one of 5 bands
_LONG = 10**9  # seconds: all images are read, however long it takes


@dataclass(frozen=True)
class Content:
    """What the files hold.

    Args:
        originals: For each copy, the file that it is a copy of.
        hashes: Difference hash of each image.
        broken: Files that cannot be decoded, with the reason.
    """

    originals: Mapping[str, str]
    hashes: Mapping[str, int]
    broken: Mapping[str, str]


def read_content(paths: Sequence[str], workers: int) -> Content:
    """Find copies among images, and compute the difference hash of each.

    Args:
        paths: The images, sorted.
        workers: Processes that decode; 0 for this one.
    """
    from lewel_plugins.planning.copies import find_copies
    from lewel_plugins.planning.decoding import inspect_files

    copies = find_copies(paths, _LONG).originals
    inspections = inspect_files([path for path in paths if path not in copies], _LONG, workers)
    broken = {path: inspection.reason for path, inspection in inspections.items() if inspection.reason}
    broken.update({path: broken[original] for path, original in copies.items() if original in broken})
    hashes = {path: inspections[copies.get(path, path)].difference_hash for path in paths if path not in broken}
    return Content({copy: original for copy, original in copies.items() if copy not in broken}, hashes, broken)


def group_images(content: Content, together: Mapping[str, Hashable]) -> dict[str, int]:
    """Return the number of the group of each image.

    Images are in one group if they have equal content, if their difference hashes differ in at most 4 of 64 bits, if
    they are nearly identical to the previous one in the order of paths, or if the user wants them together; and if
    others link them in this way.

    Args:
        content: The images.
        together: For each image that the user groups, its group.
    """
    paths = sorted(content.hashes)
    forest = _Forest(paths)
    for copy, original in content.originals.items():
        forest.join(copy, original)
    for pair in _near_pairs(content.hashes):
        forest.join(*pair)
    for first, second in zip(paths, paths[1:]):
        is_next = _folder(first) == _folder(second)
        if is_next and (content.hashes[first] ^ content.hashes[second]).bit_count() <= NEAR:
            forest.join(first, second)
    firsts: dict[Hashable, str] = {}
    for path in paths:
        if path in together:
            forest.join(path, firsts.setdefault(together[path], path))
    numbers: dict[str, int] = {}
    return {path: numbers.setdefault(forest.root(path), len(numbers)) for path in paths}


def wanted_groups(labels: Labels, images: Iterable[str], group_by: str | None) -> dict[str, Hashable]:
    """Return the groups that the user wants.

    Args:
        labels: The labeled images.
        images: The other images.
        group_by: ``folder`` for the images of a folder, or a column of the csv, or None.

    Raises:
        SetupError: There is no such column.
    """
    if group_by is None:
        return {}
    if group_by == FOLDER:
        return {path: _folder(os.path.abspath(path)) for path in (*images, *labels.paths)}
    if group_by not in labels.columns:
        columns = ', '.join(labels.columns)
        hint = f'folder or a further column of the csv: {columns}' if columns else 'folder; --labels has no columns'
        raise SetupError(f'--group-by {group_by!r} is unknown; accepted: {hint}')
    values = {path: row[group_by] for path, row in labels.unlabeled.items()}
    values.update(zip(labels.paths, labels.columns[group_by]))
    return {path: value for path, value in values.items() if value}  # an empty cell names no group


def _folder(path: str) -> str:
    return os.path.dirname(path_without_shard(path))


def group_sentence(groups: Mapping[str, int]) -> str:
    """Return how many images are in how many groups."""
    total, count = len(groups), len(set(groups.values()))
    if total == count:
        return f'{plural(total, "image")}, none of which resembles another'
    return f'{plural(total, "image")} in {plural(count, "group")} of images that resemble each other or stand alone'


class _Forest:
    """Disjoint sets of paths."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._parents = {path: path for path in paths}

    def root(self, path: str) -> str:
        """Return the representative of a set."""
        while self._parents[path] != path:
            self._parents[path] = self._parents[self._parents[path]]
            path = self._parents[path]
        return path

    def join(self, first: str, second: str) -> None:
        """Make one set of two; the representative is the first in order, whatever the order of joins."""
        low, high = sorted((self.root(first), self.root(second)))
        self._parents[high] = low


def _near_pairs(hashes: Mapping[str, int]) -> Iterable[tuple[str, str]]:
    """Yield pairs of images whose hashes differ in at most :data:`NEAR` bits; of equal hashes a chain."""
    firsts: dict[int, str] = {}
    for path, value in hashes.items():
        if _says_something(value):
            if value in firsts:
                yield firsts[value], path
            firsts.setdefault(value, path)
    for band in range(_BANDS):
        low, high = band * _BITS // _BANDS, (band + 1) * _BITS // _BANDS
        mask = (1 << high) - (1 << low)
        buckets: dict[int, list[int]] = defaultdict(list)
        for value in firsts:
            buckets[value & mask].append(value)
        for values in buckets.values():
            for left, right in combinations(values, 2):
                if (left ^ right).bit_count() <= NEAR:
                    yield firsts[left], firsts[right]


def _says_something(value: int) -> bool:
    """Return whether a hash describes an image; smooth images, such as a plain background, all have about the same."""
    return NEAR < value.bit_count() < _BITS - NEAR

"""Draw images by the hash of their content, which no name, folder or machine changes."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence

from lewel_plugins.image_files.packed import image_status

from .copies import image_digest, sketch

MOST_READ = 20_000  # images of a draw that are opened; a cold disk takes half a millisecond or more for each


class ContentDraw:
    """Draws images, and reads each file once."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._hashes: dict[str, bytes] = {}

    def groups(self, paths: Sequence[str], count: int) -> list[list[str]]:
        """Return images in the order of the hashes of their content, those with equal content together.

        Of more than :data:`MOST_READ` images, those are opened, and returned, whose size in bytes comes first by its
        own hash: at least ``count`` images if there are as many.

        Args:
            paths: The images.
            count: How many are needed.
        """
        by_hash: dict[bytes, list[str]] = defaultdict(list)
        for path in self._candidates(paths, max(count, MOST_READ)):
            by_hash[self._hash(path)].append(path)
        return [group for key in sorted(by_hash) for group in _equal(by_hash[key])]

    def _candidates(self, paths: Sequence[str], count: int) -> list[str]:
        by_size: dict[int, list[str]] = defaultdict(list)
        for path in paths:
            by_size[self._size(path)].append(path)
        candidates: list[str] = []
        for size in sorted(by_size, key=lambda size: _digest(str(size).encode())):
            candidates += by_size[size]
            if len(candidates) >= count:
                break
        return candidates

    def _size(self, path: str) -> int:
        if path not in self._sizes:
            try:
                self._sizes[path] = image_status(path).size
            except OSError:  # training names it
                self._sizes[path] = -1
        return self._sizes[path]

    def _hash(self, path: str) -> bytes:
        if path not in self._hashes:
            try:
                parts = sketch(path)
            except OSError:
                parts = (os.fsencode(os.path.basename(path)),)
            self._hashes[path] = _digest(str(self._size(path)).encode(), *parts)
        return self._hashes[path]


def _digest(*parts: bytes) -> bytes:
    return hashlib.sha256(b'\0'.join(parts)).digest()


def _equal(paths: Sequence[str]) -> list[list[str]]:
    """Return the groups of files with equal content among files with equal parts."""
    if len(paths) == 1:
        return [list(paths)]
    groups: dict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        try:
            groups[image_digest(path)].append(path)
        except OSError:
            groups[path].append(path)
    return [groups[key] for key in sorted(groups)]


def split_groups(groups: Sequence[Sequence[str]], count: int) -> tuple[list[str], list[str]]:
    """Return the first ``count`` images and the others, without dividing a group: one that is too large is passed over.

    Args:
        groups: Images by group.
        count: How many to take.
    """
    first: list[str] = []
    others: list[str] = []
    for group in groups:
        (first if len(group) <= count - len(first) else others).extend(group)
    return first, others

"""Exact copies among the images, and images that are nearly identical to the previous one, as frames of a video."""

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from io import RawIOBase

from lewel_plugins.files import stream_digest
from lewel_plugins.image_files.packed import image_status, open_image

from .findings import Finding

NEAR = 4  # bits of 64 in which the difference hashes of nearly identical images differ at most
VIDEO_SHARE = 0.2  # share of nearly identical images from which they are worth a warning
_PART = 1024  # bytes of each part of a file that is compared before the whole
_PAIRS = 500  # pairs of neighbors that give the share


@dataclass
class Copies:
    """Files with the content of another one.

    Attributes:
        originals: For each copy, the file that is used in its place: the first in the order of paths.
        is_complete: Whether the time was enough.
    """

    originals: dict[str, str] = field(default_factory=dict)
    is_complete: bool = True


@dataclass
class Scenes:
    """Images that are nearly identical to the previous one.

    Attributes:
        share: Their share of the pairs that were compared.
        tried: Number of pairs that were compared.
        total: Number of images.
        distinct: One image per scene; None if few are nearly identical, or not all were compared.
    """

    share: float
    tried: int
    total: int
    distinct: list[str] | None = None


def find_copies(paths: Sequence[str], deadline: float) -> Copies:
    """Find files with equal content: those of equal size by some parts of them, and then by their digest.

    Without enough time there are none.

    Args:
        paths: The files, sorted.
        deadline: Time by ``time.monotonic`` after which no further content is read.
    """
    originals: dict[str, str] = {}
    groups: list[list[str]] = [list(paths)]
    try:
        for key in (_size, sketch, image_digest):
            groups = [part for group in groups for part in _split(group, key, deadline)]
    except TimeoutError:
        return Copies(originals, is_complete=False)
    for first, *others in groups:
        originals.update((path, first) for path in others)
    return Copies(originals)


def _split(paths: Sequence[str], key: Callable[[str], Hashable], deadline: float) -> list[list[str]]:
    """Return the groups of at least two files with equal keys, without files that cannot be read."""
    groups: dict[Hashable, list[str]] = defaultdict(list)
    for path in paths:
        if time.monotonic() > deadline:
            raise TimeoutError
        try:
            groups[key(path)].append(path)
        except OSError:  # decoding names it
            continue
    return [group for group in groups.values() if len(group) > 1]


def _size(path: str) -> int:
    return image_status(path).size


def sketch(path: str) -> tuple[bytes, ...]:
    """Return the beginning, the middle and the end of a file, by which most files of equal size already differ.

    Raises:
        OSError: It cannot be read.
    """
    size = image_status(path).size
    with open_image(path) as file:
        return tuple(_read(file, max(0, start)) for start in (0, size // 2, size - _PART))


def _read(file: RawIOBase, start: int) -> bytes:
    file.seek(start)
    return file.read(_PART) or b''


def image_digest(path: str) -> str:
    """Return the SHA-256 of an image as 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with open_image(path) as file:
        return stream_digest(file)


def find_scenes(
    paths: Sequence[str], draw: Sequence[str], hashes: Callable[[Sequence[str]], Mapping[str, int | None]]
) -> Scenes:
    """Compare images with the previous one in the order of paths, all of them only if many are nearly identical.

    Args:
        paths: The images, sorted.
        draw: The images in the order of the draw.
        hashes: Returns difference hashes of images as far as the time allows; None for a broken image.
    """
    previous = dict(zip(paths[1:], paths))
    pairs = [(previous[path], path) for path in draw if path in previous]
    if len(pairs) > _PAIRS:
        pairs = pairs[:_PAIRS]
        compared = _compare(hashes([path for pair in pairs for path in pair]), pairs)
        share = sum(compared.values()) / max(1, len(compared))
        if share < VIDEO_SHARE:
            return Scenes(share, len(compared), len(paths))
    known = hashes(paths)
    paths = [path for path in paths if known.get(path, 0) is not None]
    compared = _compare(known, list(zip(paths, paths[1:])))
    share = sum(compared.values()) / max(1, len(compared))
    is_complete = len(compared) == len(paths) - 1
    distinct = [path for path in paths if not compared.get(path)] if is_complete and share >= VIDEO_SHARE else None
    return Scenes(share, len(compared), len(paths), distinct)


def _compare(hashes: Mapping[str, int | None], pairs: Sequence[tuple[str, str]]) -> dict[str, bool]:
    """Return for the second image of each pair whether it is nearly identical to the first."""
    compared = {}
    for first, second in pairs:
        left, right = hashes.get(first), hashes.get(second)
        if left is not None and right is not None:
            compared[second] = (left ^ right).bit_count() <= NEAR
    return compared


def copy_findings(copies: Copies, total: int) -> list[Finding]:
    """Describe exact copies."""
    files = tuple(sorted(copies.originals))
    if not files:
        text = 'copies were not searched to the end: the time was too short'
        return [] if copies.is_complete else [Finding('note', 'copies', text)]
    what = 'is a copy of another' if len(files) == 1 else 'are copies of others'
    text = f'{len(files):,} of {total:,} files {what}; each picture is used once (duplicates.csv)'
    return [Finding('warning', 'copies', text, files)]


def scene_findings(scenes: Scenes) -> list[Finding]:
    """Describe nearly identical neighbors if there are many."""
    if scenes.share < VIDEO_SHARE:
        return []
    of = 'images' if scenes.distinct is not None else f'{scenes.tried:,} images tried'
    count = len(scenes.distinct) if scenes.distinct is not None else 1 + (1 - scenes.share) * (scenes.total - 1)
    text = (
        f'{100 * scenes.share:.0f}% of {of} are nearly identical to the previous one (video frames?); there are about '
        f'{_two_digits(count):,} distinct scenes'
    )
    text += ', one of each is listed in distinct.txt' if scenes.distinct is not None else ''
    return [Finding('warning', 'video', text)]


def _two_digits(count: float) -> int:
    return int(float(f'{count:.2g}'))

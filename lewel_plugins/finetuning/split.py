"""Divide labeled images into those to train on and those to measure on."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.copies import find_copies
from lewel_plugins.planning.findings import Finding, plural, show

from .labels import LabeledImage

VAL_SHARE = 0.2
VAL_MOST = 1000
_LONG = 10**9  # seconds: however long it takes


def split_by_content(images: Sequence[LabeledImage]) -> tuple[list[LabeledImage], list[LabeledImage], str]:
    """Divide images by the hash of their content, so that exact copies stay on one side and names do not matter.

    Images with labels and negatives are divided separately, so that a small set has labels on both sides.

    Args:
        images: The images.

    Returns:
        Those to train on, those to measure on, and how they were divided.

    Raises:
        SetupError: There are not two different images with labels.
    """
    digests = [hashlib.sha256(Path(image.path).read_bytes()).digest() for image in images]
    labeled = {digest for image, digest in zip(images, digests) if image.boxes or image.mask}
    if len(labeled) < 2:
        raise SetupError(
            'there are not two different images with labels, one to train on and one to measure on; label more, or '
            'divide them yourself, such as by train.json and val.json'
        )
    chosen = {*_first(labeled, least=1), *_first(set(digests) - labeled)}
    train = [image for image, digest in zip(images, digests) if digest not in chosen]
    val = [image for image, digest in zip(images, digests) if digest in chosen]
    verb = 'is' if len(val) == 1 else 'are'
    return train, val, f'{len(val):,} of {len(images):,} images {verb} only measured on, by the hash of the content'


def overlap_findings(train: Sequence[LabeledImage], val: Sequence[LabeledImage], names: Sequence[str]) -> list[Finding]:
    """Describe images to measure on that have the content of images to train on.

    Args:
        train: The images to train on.
        val: The images to measure on.
        names: Names of the files or folders that divide them.

    Raises:
        SetupError: An image is in both.
    """
    trained = {os.path.realpath(image.path): image.path for image in train}
    shared = [image.path for image in val if os.path.realpath(image.path) in trained]
    if shared:
        rest = f' (and {plural(len(shared) - 1, "other image")})' if len(shared) > 1 else ''
        raise SetupError(
            f'{show(shared[0])}{rest} is in both {names[0]} and {names[1]}; what is trained on must not be measured on'
        )
    by_original: dict[str, list[str]] = defaultdict(list)
    paths = sorted({image.path for image in (*train, *val)})
    for copy, original in find_copies(paths, _LONG).originals.items():
        by_original[original].append(copy)
    is_trained = set(trained.values())
    copies: dict[str, str] = {}
    for original, others in by_original.items():
        first = next((path for path in (original, *others) if path in is_trained), None)
        if first is not None:
            copies.update((path, first) for path in (original, *others) if path not in is_trained)
    if not copies:
        return []
    path = min(copies)
    verb = 'is a copy of one' if len(copies) == 1 else 'are copies of some'
    text = (
        f'{plural(len(copies), "image")} to measure on {verb} to train on, which makes results too good, such as '
        f'{show(path)} of {show(copies[path])}'
    )
    return [Finding('warning', 'copies', text, tuple(sorted(copies)))]


def _first(digests: set[bytes], least: int = 0) -> list[bytes]:
    """Return the share of the digests that is measured on."""
    return sorted(digests)[: max(least, min(VAL_MOST, round(VAL_SHARE * len(digests))))]

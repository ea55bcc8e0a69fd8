"""Divide labeled images into those to train on and those to measure on."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lewel_plugins.errors import SetupError

VAL_SHARE = 0.2
VAL_MOST = 1000
_Item = TypeVar('_Item')


def split_by_content(items: Sequence[_Item], path: Callable[[_Item], str]) -> tuple[list[_Item], list[_Item], str]:
    """Divide images by the hash of their content, so that exact copies stay on one side and names do not matter.

    Args:
        items: The labeled images.
        path: Returns the file of an image.

    Returns:
        Those to train on, those to measure on, and how they were divided.

    Raises:
        SetupError: There are not two different images.
    """
    digests = [hashlib.sha256(Path(path(item)).read_bytes()).digest() for item in items]
    order = sorted(set(digests))
    if len(order) < 2:
        raise SetupError(
            'there are not two different labeled images, one to train on and one to measure on; name files for both, '
            'such as train.json and val.json'
        )
    count = max(1, min(VAL_MOST, round(VAL_SHARE * len(order))))
    chosen = set(order[:count])
    train = [item for item, digest in zip(items, digests) if digest not in chosen]
    val = [item for item, digest in zip(items, digests) if digest in chosen]
    verb = 'is' if len(val) == 1 else 'are'
    return train, val, f'{len(val):,} of {len(items):,} images {verb} only measured on, by the hash of the content'

"""Divide labeled images into those to train on and those to measure on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from lewel_plugins.errors import SetupError

from .labels import LabeledImage

VAL_SHARE = 0.2
VAL_MOST = 1000


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


def _first(digests: set[bytes], least: int = 0) -> list[bytes]:
    """Return the share of the digests that is measured on."""
    return sorted(digests)[: max(least, min(VAL_MOST, round(VAL_SHARE * len(digests))))]

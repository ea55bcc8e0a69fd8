"""Batch and length of fine-tuning."""

import math
from typing import NamedTuple

BATCH = 64
NORM_IMAGES = 16  # images per step below which the statistics of batch norm are kept
STEPS = 1000
EPOCHS = (20, 100)
LENGTHS = (1, 3)  # random weights need longer


class Steps(NamedTuple):
    """Batch and length of a fine-tuning.

    Attributes:
        batch: Images per step.
        epochs: Epochs at length 1.
        images: Images of all steps at length 1.
    """

    batch: int
    epochs: int
    images: int


def steps_of(size: int, epochs: int | None = None) -> Steps:
    """Return batch and length for a number of training images: about a thousand steps within 20 to 100 epochs.

    Args:
        size: Number of images.
        epochs: Epochs at length 1 that the user has set.
    """
    batch = min(BATCH, size)
    per_epoch = size // batch
    if epochs is None:
        epochs = min(max(math.ceil(STEPS / per_epoch), EPOCHS[0]), EPOCHS[1])
    return Steps(batch, epochs, epochs * per_epoch * batch)

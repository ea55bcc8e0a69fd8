"""What the plan of a fine-tuning follows from."""

import math
from dataclasses import dataclass
from statistics import median_low, quantiles

from lewel_plugins.planning.facts import Machine

from .labels import Labels


@dataclass(frozen=True)
class LabelFacts:
    """Labels in numbers.

    Args:
        num_train: Images to train on.
        num_val: Images to measure on.
        num_classes: Classes, for a segmenter with the background if the masks have one.
        short_side: Median over the images of the shorter side, in pixels.
        long_side: Median of the longer side.
        small_box: Side in pixels, √area, below which a tenth of the boxes is; 0 for a segmenter.
        has_outlines: Whether every object has an outline.
        split: How the images were divided.
        outlined: Number of objects with an outline, and of all objects.
    """

    num_train: int
    num_val: int
    num_classes: int
    short_side: int
    long_side: int
    small_box: float = 0.0
    has_outlines: bool = False
    split: str = ''
    outlined: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, labels: Labels) -> 'LabelFacts':
        """Count labels."""
        images = labels.train
        sides = [math.sqrt(box.size[0] * box.size[1]) for image in images for box in image.boxes if not box.is_ignored]
        return cls(
            len(images),
            len(labels.val),
            len(labels.classes),
            median_low([min(image.width, image.height) for image in images]),
            median_low([max(image.width, image.height) for image in images]),
            quantiles(sides * 2, n=10)[0] if sides else 0.0,  # twice, because it needs two values
            labels.has_outlines,
            labels.split,
            labels.count_outlines()[::-1],
        )


@dataclass(frozen=True)
class Start:
    """What the backbone starts from.

    Args:
        name: How the user named it; ``random`` for random weights.
        backbone: Name of the backbone, as in :data:`lewel_plugins.planning.backbones.BACKBONES`.
        stem: ``3 × 3`` if its first layer is for small images, otherwise ``standard``.
        mean: Mean of the training's images, RGB on the scale 0 to 255; None if unknown.
        std: Their standard deviation, likewise.
    """

    name: str
    backbone: str = ''
    stem: str = 'standard'
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def is_random(self) -> bool:
        """Whether it starts from random weights."""
        return self.name == 'random'


@dataclass(frozen=True)
class FinetuneFacts:
    """All that a plan is made of, besides the request.

    Args:
        labels: The labels.
        start: What the backbone starts from.
        machine: The machine.
    """

    labels: LabelFacts
    start: Start
    machine: Machine

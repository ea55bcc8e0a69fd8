"""Images with boxes or masks, split into training and test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lewel_plugins.datasets.labeled_split import draw_per_class
from lewel_plugins.finetuning.labels import LabeledImage
from lewel_plugins.finetuning.masks import count_pixels
from lewel_plugins.running.jobs import digest

from .dense_labels import DenseLabels
from .design import BOXES
from .detections import Detections, Matches, average_precision, match_detections
from .measures import Score
from .rates import SEARCH_SHARE
from .regions import Regions, mean_iou
from .splits import Subset, set_aside


@dataclass(frozen=True)
class DenseMaterial:
    """Images with boxes or masks, split into training and test.

    Args:
        labels: The labels of all images.
        targets: A class of each image, by which splits are balanced.
        groups: Group of each image, of images that resemble each other.
        train: Indices of the images to train with.
        test: Indices of the test images.
    """

    labels: DenseLabels
    targets: tuple[int, ...]
    groups: tuple[int, ...]
    train: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def test_groups(self) -> list[int]:
        """Group of each test image."""
        return [self.groups[i] for i in self.test]

    @cached_property
    def digest(self) -> str:
        """What results depend on, besides the network and the rows."""
        rows = [dict(asdict(image), path='', mask='') for image in self.labels.images]
        return digest(self.labels.task, self.labels.classes, rows, self.targets, self.train, self.test)

    def images(self, rows: Sequence[int]) -> tuple[LabeledImage, ...]:
        """Return some images with their labels."""
        return tuple(self.labels.images[i] for i in rows)

    def pools(self) -> list[int]:
        """Return for each image to train with whether it has no boxes: subsets have the same share of both."""
        return [int(self.labels.task == BOXES and not image.boxes) for image in self.images(self.train)]

    def rows(self, subset: Subset, seed: int) -> list[int]:
        """Return the indices of the images to train with. Subsets of one seed contain each other."""
        return [self.train[i] for i in draw_per_class(self.pools(), subset.count, seed)]

    def judged(self) -> tuple[list[int], list[int]]:
        """Split the training images, for the choice of rates: indices to train on, and of a fifth that judges."""
        return set_aside(self.targets, self.groups, self.train, SEARCH_SHARE)

    def score(self, rows: Sequence[int], records: Any) -> Score:
        """Return the points of what is predicted for some images.

        Args:
            rows: Indices of the images.
            records: By image, the detections, or intersection and union.
        """
        return Score(float(self._points(rows, records, np.ones((1, len(rows)), int))[0]), records)

    def resample(self, records: Any, counts: np.ndarray) -> np.ndarray:
        """Return the points of what is predicted for the test images on samples of them, (S,).

        Args:
            records: By test image, the detections, or intersection and union.
            counts: How often each image counts, by sample, (S, N).
        """
        return self._points(self.test, records, counts)

    def nothing(self, rows: Sequence[int]) -> Any:
        """Return the records of a network that predicts nothing, such as one whose training has diverged."""
        if self.labels.task == BOXES:
            return [[] for _ in rows]
        pixels = [count_pixels(image) for image in self.images(rows)]
        labels = range(len(self.labels.classes))
        return [dict(intersection=[0 for _ in labels], union=[each[label] for label in labels]) for each in pixels]

    def _points(self, rows: Sequence[int], records: Detections | Regions, counts: np.ndarray) -> np.ndarray:
        if self.labels.task != BOXES:
            return mean_iou(records, counts)  # type: ignore[arg-type]
        matches: list[Matches] = match_detections(self.images(rows), len(self.labels.classes), records)  # type: ignore[arg-type]
        return np.array([average_precision(matches, each) for each in counts])

"""Mean IoU of predicted maps of classes, also of resampled images."""

from collections.abc import Mapping, Sequence

import numpy as np

Regions = Sequence[Mapping[str, Sequence[int]]]  # by image: pixels of intersection and union of each class


def mean_iou(regions: Regions, counts: np.ndarray) -> np.ndarray:
    """Return mIoU in percent of images that count several times or not at all, over the classes that occur.

    Args:
        regions: Intersections and unions of each image.
        counts: How often each image counts, by sample, (S, N).

    Returns:
        One value per sample, (S,).
    """
    intersection, union = (counts @ np.array([row[name] for row in regions]) for name in ('intersection', 'union'))
    occurs = union > 0
    ratios = np.where(occurs, intersection / np.maximum(union, 1), 0.0)
    return 100 * ratios.sum(1) / np.maximum(occurs.sum(1), 1)

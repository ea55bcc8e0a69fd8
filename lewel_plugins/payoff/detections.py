"""Average precision of detections, also of resampled images."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np

from lewel_plugins.finetuning.labels import LabeledImage

Detections = Sequence[Sequence[Sequence[float]]]  # by image: class, score, left, top, right and bottom
MOST = 100  # detections per image and class
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matches:
    """The detections of a class, by falling score, and whether pycocotools matches them with objects.

    Args:
        images: Index of the image of each detection, (D,).
        hits: Whether each is matched, by IoU threshold, (T, D).
        misses: Whether each is neither matched nor ignored, (T, D).
        objects: Number of objects in each image, (N,).
    """

    images: np.ndarray
    hits: np.ndarray
    misses: np.ndarray
    objects: np.ndarray


def match_detections(images: Sequence[LabeledImage], num_classes: int, detections: Detections) -> list[Matches]:
    """Match detections with objects, per class, as COCO does: IoU of 0.5 to 0.95, crowds ignored.

    Args:
        images: The images with their boxes.
        num_classes: Number of classes.
        detections: The detections of each image.
    """
    from pycocotools.cocoeval import COCOeval

    with redirect_stdout(StringIO()):  # pycocotools prints
        judge = COCOeval(_coco(images, num_classes), _coco(images, num_classes, detections), 'bbox')
        judge.params.areaRng, judge.params.areaRngLbl, judge.params.maxDets = [[0, 1e10]], ['all'], [MOST]
        judge.evaluate()
    count, by_class = len(images), []
    for label in range(num_classes):
        rows = [
            (i, row) for i, row in enumerate(judge.evalImgs[label * count : (label + 1) * count]) if row is not None
        ]
        by_class.append(_matches(rows, count, len(judge.params.iouThrs)))
    return by_class


def _matches(rows: Sequence[tuple[int, dict[str, Any]]], num_images: int, thresholds: int) -> Matches:
    objects = np.zeros(num_images)
    for i, row in rows:
        objects[i] = np.count_nonzero(np.asarray(row['gtIgnore']) == 0)
    scores = np.concatenate([[], *(row['dtScores'] for _, row in rows)])
    order = np.argsort(-scores, kind='mergesort')  # as pycocotools, which keeps the order of equal scores
    images = np.concatenate([np.zeros(0, int), *(np.full(len(row['dtScores']), i) for i, row in rows)])[order]
    none = np.zeros((thresholds, 0), bool)
    matched, ignored = (
        np.concatenate([none, *(np.asarray(row[name], bool) for _, row in rows)], 1)[:, order]
        for name in ('dtMatches', 'dtIgnore')
    )
    return Matches(images, matched & ~ignored, ~matched & ~ignored, objects)


def average_precision(by_class: Sequence[Matches], counts: np.ndarray) -> float:
    """Return COCO's AP × 100 of images that count several times or not at all.

    Args:
        by_class: The matches of each class.
        counts: How often each image counts, (N,).

    Returns:
        The mean over the classes that have an object, and over IoU thresholds; 0 if none has.
    """
    values = [_class_precision(each, counts) for each in by_class if each.objects @ counts > 0]
    return 100 * float(np.mean(values)) if values else 0.0


def _class_precision(matches: Matches, counts: np.ndarray) -> float:
    weights = counts[matches.images]
    hits, misses = (np.cumsum(which * weights, 1) for which in (matches.hits, matches.misses))
    precision = hits / np.maximum(hits + misses, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))  # 0 at a recall that is never reached
    recalls = hits / (matches.objects @ counts)
    return float(np.mean([row[np.searchsorted(recall, _RECALLS)] for row, recall in zip(envelope, recalls)]))


def _coco(images: Sequence[LabeledImage], num_classes: int, detections: Detections | None = None) -> Any:
    """Return objects, or detections, as pycocotools holds them."""
    from pycocotools.coco import COCO

    entries: list[dict[str, Any]] = []
    for number, image in enumerate(images):
        if detections is None:
            rows = [(b.label, b.corners, dict(iscrowd=int(b.is_ignored), area=b.area)) for b in image.boxes]
        else:
            rows = [(int(row[0]), tuple(row[2:]), dict(iscrowd=0, score=row[1])) for row in detections[number]]  # type: ignore[misc]
        for label, (left, top, right, bottom), more in rows:
            size = right - left, bottom - top
            entry = dict(more, id=len(entries) + 1, image_id=number, category_id=label, bbox=[left, top, *size])
            entries.append(dict(entry, area=more.get('area') or size[0] * size[1]))
    coco = COCO()
    categories = [dict(id=label) for label in range(num_classes)]
    coco.dataset = dict(images=[dict(id=i) for i in range(len(images))], annotations=entries, categories=categories)
    coco.createIndex()
    return coco

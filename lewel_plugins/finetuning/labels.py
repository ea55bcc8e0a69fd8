"""Labeled images, whatever format they come from."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import Finding, plural

_NOTICED = 0.5  # pixels by which a box may reach beyond its image because of rounding


@dataclass(frozen=True)
class Box:
    """An object in an image.

    Args:
        label: Index of its class.
        corners: Left, top, right and bottom in pixels, within the image.
        is_ignored: Whether it is neither trained on nor counted: a crowd in COCO, a difficult object in VOC.
        outline: Polygons or run lengths as in COCO; None without.
        area: Area of the object in pixels; that of the box by default.
    """

    label: int
    corners: tuple[float, float, float, float]
    is_ignored: bool = False
    outline: Any = None
    area: float = 0.0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        left, top, right, bottom = self.corners
        return right - left, bottom - top


@dataclass(frozen=True)
class LabeledImage:
    """An image and its labels.

    Args:
        path: The file.
        width: Width in pixels.
        height: Height in pixels.
        boxes: Its objects; none in a negative image.
        mask: File with its map of classes; empty for a detector.
    """

    path: str
    width: int
    height: int
    boxes: tuple[Box, ...] = ()
    mask: str = ''


@dataclass(frozen=True)
class Labels:
    """All labels of a task.

    Args:
        kind: Their format: ``COCO``, ``VOC`` or ``masks``.
        classes: Names of the classes.
        train: Images to train on.
        val: Images to measure on.
        split: How they were divided.
        findings: What the user should know.
    """

    kind: str
    classes: tuple[str, ...]
    train: tuple[LabeledImage, ...]
    val: tuple[LabeledImage, ...]
    split: str
    findings: tuple[Finding, ...] = ()

    @property
    def has_outlines(self) -> bool:
        """Whether every object that counts has an outline."""
        boxes, outlined = self.count_outlines()
        return 0 < boxes == outlined

    def count_outlines(self) -> tuple[int, int]:
        """Return the number of objects that count, and of those with an outline."""
        boxes = [box for image in (*self.train, *self.val) for box in image.boxes if not box.is_ignored]
        return len(boxes), sum(bool(box.outline) for box in boxes)


class BoxReader:
    """Checks boxes, and counts what was wrong with them but could be mended."""

    def __init__(self) -> None:
        self.clipped, self.tiny = 0, 0

    def read(
        self, where: str, corners: Sequence[Any], width: int, height: int
    ) -> tuple[float, float, float, float] | None:
        """Return a box within its image; None if less than a pixel is left of it.

        Args:
            where: File and number of the box, for the error.
            corners: Left, top, right and bottom in pixels.
            width: Width of the image.
            height: Height of the image.

        Raises:
            SetupError: These are no finite numbers, or the box ends before it begins, or lies outside its image.
        """
        try:
            left, top, right, bottom = (float(value) for value in corners)
        except (TypeError, ValueError):
            raise SetupError(f'{where} has the corners {list(corners)}, which are not four numbers') from None
        shown = f'({left:g}, {top:g}, {right:g}, {bottom:g})'
        if not all(map(math.isfinite, (left, top, right, bottom))):
            raise SetupError(f'{where} has the corners {shown}, which are not finite')
        if right < left or bottom < top:
            raise SetupError(f'{where} ends before it begins: {shown}')
        inside = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        if inside[2] < inside[0] or inside[3] < inside[1]:  # one that touches the border from outside is left out
            raise SetupError(f'{where} lies outside its image of {width} × {height} pixels: {shown}')
        self.clipped += any(abs(a - b) > _NOTICED for a, b in zip(inside, (left, top, right, bottom)))
        if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
            self.tiny += 1
            return None
        return inside

    def findings(self) -> list[Finding]:
        """Describe the boxes that were mended or left out."""
        findings = []
        if self.clipped:
            verb = 'reaches beyond its image and is' if self.clipped == 1 else 'reach beyond their images and are'
            findings.append(Finding('warning', 'clipped', f'{plural(self.clipped, "box", "boxes")} {verb} clipped'))
        if self.tiny:
            verb = 'is under one pixel wide or high and' if self.tiny == 1 else 'are under one pixel wide or high and'
            findings.append(Finding('warning', 'tiny', f'{plural(self.tiny, "box", "boxes")} {verb} left out'))
        return findings


def box_findings(classes: Sequence[str], train: Sequence[LabeledImage], val: Sequence[LabeledImage]) -> list[Finding]:
    """Describe classes without boxes and images without any.

    Raises:
        SetupError: There is nothing to train on, or nothing to measure on.
    """
    counts = [
        Counter(box.label for image in part for box in image.boxes if not box.is_ignored) for part in (train, val)
    ]
    for count, images, use in zip(counts, (train, val), ('train', 'measure')):
        if not count:
            raise SetupError(f'there is no box to {use} on: {plural(len(images), "image")} without any')
    findings = missing_classes(classes, counts, ('box', 'boxes'))
    empty = sum(not image.boxes for image in (*train, *val))
    if empty:
        verb = 'has no box and counts as a negative' if empty == 1 else 'have no box and count as negatives'
        findings.append(Finding('note', 'empty', f'{plural(empty, "image")} {verb}'))
    return findings


def missing_classes(classes: Sequence[str], counts: Sequence[Counter], nouns: tuple[str, str]) -> list[Finding]:
    """Describe the classes that are missing in training, or in the measurement.

    Args:
        classes: Names of the classes.
        counts: Number of objects by label, in training and in the measurement.
        nouns: What is counted, one and several.
    """
    findings = []
    for count, text in zip(counts, ('to learn it from', 'to measure it on')):
        names = [name for label, name in enumerate(classes) if not count[label]]
        if names:
            what = f'the class {names[0]} has' if len(names) == 1 else f'the classes {", ".join(names)} have'
            text = text.replace('it', 'them') if len(names) > 1 else text
            findings.append(Finding('warning', 'classes', f'{what} no {nouns[0]} {text}'))
    return findings

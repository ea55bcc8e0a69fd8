"""Outlines of objects in COCO's format."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import Finding, plural

from .labels import LabeledImage

_FARTHEST = 1e9  # pixels; beyond, as at NaN, there is no image
_POINTS = 3  # a polygon of fewer has no area


class OutlineReader:
    """Checks outlines, and counts the polygons without an area, of fewer than three points."""

    def __init__(self) -> None:
        self._dropped, self._without_area = 0, 0

    def read(self, where: str, outline: Any, size: tuple[int, int]) -> Any:
        """Return polygons or run lengths; None if there are none, and an empty list if no polygon has an area.

        Args:
            where: File and number of the annotation, for the error.
            outline: What the file has.
            size: Width and height of the image.

        Raises:
            SetupError: It is neither, or of another size than the image.
        """
        if not outline:
            return None
        if isinstance(outline, dict):
            self._check_runs(where, outline, size)
            return outline
        if not isinstance(outline, list) or not all(map(_is_polygon, outline)):
            raise SetupError(
                f'{where} has a segmentation that is neither polygons, [[x, y, x, y, …], …], nor run lengths'
            )
        polygons = [polygon for polygon in outline if len(polygon) >= 2 * _POINTS]
        self._dropped += len(outline) - len(polygons)
        return polygons

    def _check_runs(self, where: str, outline: dict[str, Any], size: tuple[int, int]) -> None:
        expected = [size[1], size[0]]
        if outline.get('size') != expected:
            raise SetupError(
                f'{where} has a mask of {outline.get("size")} (height, width), but its image has {expected}'
            )
        counts, pixels = outline.get('counts'), size[0] * size[1]
        if isinstance(counts, list) and all(isinstance(count, int) and count >= 0 for count in counts):
            if sum(counts) != pixels:
                raise SetupError(f'{where} has run lengths of {sum(counts)} pixels, but its image has {pixels}')
        elif not isinstance(counts, str) or not counts:
            raise SetupError(f'{where} has run lengths that are neither whole numbers nor a text: {str(counts)[:40]}')

    def settle(self, images: Sequence[LabeledImage]) -> list[LabeledImage]:
        """Settle what becomes of the objects whose polygons have no area.

        Where all others have outlines, they are ignored, as mmdet does in the training of a Mask R-CNN; otherwise their
        boxes are trained on, as those of the others.

        Args:
            images: All images, to train and to measure on.
        """
        has_masks = all(box.outline is not None for image in images for box in image.boxes if not box.is_ignored)
        has_masks = has_masks and any(box.outline for image in images for box in image.boxes if not box.is_ignored)
        settled = []
        for image in images:
            boxes = [
                replace(box, outline=None, is_ignored=box.is_ignored or has_masks) if box.outline == [] else box
                for box in image.boxes
            ]
            self._without_area += sum(a.is_ignored < b.is_ignored for a, b in zip(image.boxes, boxes))
            settled.append(replace(image, boxes=tuple(boxes)))
        return settled

    def findings(self) -> list[Finding]:
        """Describe what was dropped."""
        if not self._dropped:
            return []
        verbs = ('has', 'is') if self._dropped == 1 else ('have', 'are')
        text = f'{plural(self._dropped, "polygon")} {verbs[0]} fewer than {_POINTS} points and {verbs[1]} left out'
        if self._without_area:
            verb = 'is' if self._without_area == 1 else 'are'
            objects = plural(self._without_area, 'object')
            text += f'; {objects} without another {verb} neither trained on nor counted'
        return [Finding('warning', 'polygons', text)]


def _is_polygon(polygon: Any) -> bool:
    return (
        isinstance(polygon, list)
        and len(polygon) % 2 == 0
        and all(isinstance(value, (int, float)) and abs(value) < _FARTHEST for value in polygon)
    )

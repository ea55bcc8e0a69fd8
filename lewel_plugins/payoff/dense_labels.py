"""Labels of a detector or a segmenter, for the experiment of ``lewel worth``."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.finetuning.coco import find_json
from lewel_plugins.finetuning.labels import Box, LabeledImage, missing_classes
from lewel_plugins.finetuning.masks import count_pixels
from lewel_plugins.finetuning.recognition import read_labels
from lewel_plugins.finetuning.voc import voc_folder
from lewel_plugins.planning.findings import show
from lewel_plugins.planning.labels import Labels as ClassLabels

from .design import BOXES, MASKS
from .splits import check_test_groups

WITHOUT = 'images without boxes'
_PARTS = (b'"images"', b'"annotations"', b'"categories"')


def dense_task(path: str) -> str | None:
    """Return ``detector`` for boxes, ``segmenter`` for masks, and None for anything else, such as classes.

    Args:
        path: The labels that the user names.
    """
    if os.path.isfile(path):
        return BOXES if path.lower().endswith('.json') else None
    if not os.path.isdir(path):
        return None
    if all(os.path.isdir(os.path.join(path, name)) for name in ('images', 'masks')):
        return MASKS
    is_coco = any(_has_boxes(file) for file in find_json(path))
    return BOXES if is_coco or voc_folder(path) is not None else None


def _has_boxes(file: str) -> bool:
    """Return whether a json file has the parts of a COCO json; class folders may hold others."""
    try:
        content = Path(file).read_bytes()
    except OSError:
        return False
    return all(part in content for part in _PARTS)


@dataclass(frozen=True)
class DenseLabels:
    """All labeled images, not yet divided.

    Args:
        task: ``detector`` or ``segmenter``.
        kind: Format: ``COCO``, ``VOC`` or ``masks``.
        classes: Names of the classes.
        images: The images, sorted by path.
    """

    task: str
    kind: str
    classes: tuple[str, ...]
    images: tuple[LabeledImage, ...]

    def rarest_classes(self) -> ClassLabels:
        """Return the images with one class each, for a split that tests all classes: the one that is in fewest images.

        Images without boxes are a class of their own, the last.
        """
        present = [_classes_of(image) for image in self.images]
        counts = Counter(label for labels in present for label in labels)
        rarest = [
            min(labels, key=lambda label: (counts[label], label), default=len(self.classes)) for labels in present
        ]
        return ClassLabels((*self.classes, WITHOUT), tuple(image.path for image in self.images), tuple(rarest))

    def of(self, paths: Sequence[str]) -> 'DenseLabels':
        """Return the labels of some images, in their order."""
        by_path = {image.path: image for image in self.images}
        return replace(self, images=tuple(by_path[path] for path in paths))

    def warnings(self, train: Sequence[int], test: Sequence[int]) -> list[str]:
        """Return what the classes lack in training and test."""
        counts = [Counter(label for i in rows for label in _classes_of(self.images[i])) for rows in (train, test)]
        nouns = ('box', 'boxes') if self.task == BOXES else ('pixel', 'pixels')
        return [finding.text for finding in missing_classes(self.classes, counts, nouns)]

    def write(self, file: Path) -> None:
        """Write a json file, with paths relative to its folder."""
        rows = [asdict(image) for image in self.images]
        for row in rows:
            row.update({name: os.path.relpath(row[name], file.parent) for name in ('path', 'mask') if row[name]})
        write_json(file, dict(task=self.task, kind=self.kind, classes=self.classes, images=rows))

    @classmethod
    def read(cls, file: Path) -> 'DenseLabels':
        """Return what :meth:`write` has written.

        Raises:
            SetupError: The file cannot be read, or a mask does not exist any more.
        """
        content = read_json(file)
        if not isinstance(content, dict):
            raise SetupError(f'{file} cannot be read; choose another --out or delete the folder')
        images = []
        for row in content['images']:
            names = {name: row[name] and os.path.normpath(file.parent / row[name]) for name in ('path', 'mask')}
            boxes = tuple(Box(**{**box, 'corners': tuple(box['corners'])}) for box in row['boxes'])
            images.append(LabeledImage(**{**row, **names, 'boxes': boxes}))
            if names['mask'] and not os.path.isfile(names['mask']):
                raise SetupError(f'{show(names["mask"])} is gone, and {file.parent} needs it; restore it')
        return cls(content['task'], content['kind'], tuple(content['classes']), tuple(images))


def read_dense_labels(task: str, path: str) -> DenseLabels:
    """Read labels, whatever part of them their files would train on.

    Args:
        task: ``detector`` or ``segmenter``.
        path: A COCO json, a folder with one or two of them, a VOC folder, or a folder with ``images`` and ``masks``.

    Raises:
        SetupError: They are missing or wrong, or name an image twice.
    """
    labels = read_labels(task, path)
    images = sorted((*labels.train, *labels.val), key=lambda image: image.path)
    for first, second in zip(images, images[1:]):
        if first.path == second.path:
            raise SetupError(f'{show(path)} has labels for {show(first.path)} twice')
    if not labels.has_outlines:  # a few outlines would make some trainings those of a Mask R-CNN
        images = [replace(i, boxes=tuple(replace(box, outline=None) for box in i.boxes)) for i in images]
    return DenseLabels(task, labels.kind, labels.classes, tuple(images))


def check_dense_split(
    targets: Sequence[int], groups: Sequence[int], train: Sequence[int], test: Sequence[int], classes: Sequence[str]
) -> list[str]:
    """Refuse a split that cannot answer anything, as :func:`lewel_plugins.payoff.splits.check_split` does.

    Args:
        targets: Class of each image, as :meth:`DenseLabels.rarest_classes` returns it.
        groups: Group of each image.
        train: Indices of the images to train on.
        test: Indices of the test images.
        classes: Names of the classes, and of images without any.

    Raises:
        SetupError: There are no labels to test with, or none to train on, or the test images are in fewer than two
            groups.
    """
    for part, use in ((test, 'test'), (train, 'train')):
        if all(classes[targets[i]] == WITHOUT for i in part):
            raise SetupError(
                f'there is no image with labels to {use} with: the images are in too few groups, of images that '
                'resemble each other or that --group-by keeps together'
            )
    return check_test_groups(groups, test)


def _classes_of(image: LabeledImage) -> set[int]:
    return set(count_pixels(image)) if image.mask else {box.label for box in image.boxes if not box.is_ignored}

"""One class per image from ``--labels``, for the k-NN accuracy during a pretraining."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lewel_plugins.errors import SetupError
from lewel_plugins.finetuning.labels import LabeledImage
from lewel_plugins.finetuning.masks import count_pixels
from lewel_plugins.payoff.dense_labels import DenseLabels, dense_task, read_dense_labels
from lewel_plugins.planning.findings import Finding, plural, show
from lewel_plugins.planning.labels import class_labels, read_labels

LEAST_LABELED = 50  # images that a 20-NN makes sense with
MOST_OF = 0.5  # share of the labeled area that the class of an image covers more than
BACKGROUND = ('0', 'background', '_background_', 'bg')  # names of class 0 of masks that are no object


@dataclass(frozen=True)
class ImageClasses:
    """Classes of images.

    Args:
        targets: Number of the class by path without links, of the images that have one.
        finding: How many have one, and why.
    """

    targets: Mapping[str, int]
    finding: Finding


def read_image_classes(path: str, images: Sequence[str], roots: Sequence[str], title: str) -> ImageClasses:
    """Read the classes of images.

    The class of an image with boxes or masks is the one that covers more than half of the labeled area, without the
    background of masks. An image with no such class has none.

    Args:
        path: Class folders, a csv, a COCO json, a VOC folder, or a folder with ``images`` and ``masks``.
        images: The images to pretrain on.
        roots: Folders that paths in a csv may start from.
        title: What the images are called.

    Raises:
        SetupError: The labels cannot be read, or too few images have a class.
    """
    name = os.path.expanduser(path)
    task = dense_task(name)
    if task is None:
        labels, why = read_labels(name, roots), ''
    else:
        labels = class_labels(name, _main_classes(read_dense_labels(task, name)))
        why = ': the one of more than half of the labeled area'
    targets = {os.path.realpath(path): target for path, target in zip(labels.paths, labels.targets)}
    used = {path: targets[path] for path in map(os.path.realpath, images) if path in targets}
    count, classes = len(used), len(set(used.values()))
    if count < LEAST_LABELED or classes < 2:
        raise SetupError(
            f'--labels {show(path)} has {plural(count, "image")} of {title} with a class{why}, of '
            f'{plural(classes, "class", "classes")}; {LEAST_LABELED} of two classes are the least'
        )
    text = f'{count:,} of {len(images):,} images have one of {classes} classes in {show(path)}{why}'
    return ImageClasses(used, Finding('note', 'labels', text))


def _main_classes(labels: DenseLabels) -> dict[str, str]:
    """Return the class of each image that has a main one."""
    names = {image.path: main_class(image, labels.classes) for image in labels.images}
    return {path: name for path, name in names.items() if name is not None}


def main_class(image: LabeledImage, classes: Sequence[str]) -> str | None:
    """Return the class that covers more than half of the labeled area of an image; None without one.

    Boxes count with their area each, also where they overlap. Crowds, difficult objects and pixels without a class do
    not count.

    Args:
        image: The image, with its boxes or its mask.
        classes: Names of the classes.
    """
    areas: Counter[int] = Counter()
    if image.mask:
        areas.update(count_pixels(image))
        if classes[0].lower() in BACKGROUND:
            areas.pop(0, None)
    for box in image.boxes:
        if not box.is_ignored:
            width, height = box.size
            areas[box.label] += width * height  # type: ignore[assignment]  # a sum of areas
    label = max(areas, key=lambda each: (areas[each], -each), default=None)
    return classes[label] if label is not None and areas[label] > MOST_OF * areas.total() else None

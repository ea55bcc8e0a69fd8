"""A copy of the labels in the folder of a run, in the formats that mmdet and mmseg read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lewel_plugins.files import write_text

from .coco import write_coco
from .labels import LabeledImage, Labels

FOLDER = 'annotations'
HERE = '{{ fileDirname }}'  # mmengine replaces it by the folder of the config


@dataclass(frozen=True)
class WrittenLabels:
    """Labels on the disk, with paths that start from the config.

    Args:
        classes: Names of the classes.
        images: Folder of the images.
        train: Files of the labels to train on: one json, or a list of images per pair of extensions.
        val: Files of the labels to measure on.
        masks: Folder of the masks.
        extensions: Extensions of image and mask by list.
    """

    classes: tuple[str, ...]
    images: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    masks: str = ''
    extensions: dict[str, tuple[str, str]] = field(default_factory=dict)

    def endings(self, lists: Sequence[str]) -> list[tuple[str, str]]:
        """Return the extensions of images and masks of some lists."""
        return [self.extensions[file] for file in lists]


def write_labels(labels: Labels, folder: Path) -> WrittenLabels:
    """Write the labels to the folder of a run. Images and masks stay where they are.

    Args:
        labels: The labels.
        folder: The folder of the run.
    """
    if labels.kind == 'masks':
        return _write_lists(labels, folder)
    root = _common_folder([image.path for image in (*labels.train, *labels.val)])
    files = [f'{FOLDER}/{split}.json' for split in ('train', 'val')]
    for file, images in zip(files, (labels.train, labels.val)):
        write_coco(folder / file, images, labels.classes, root, labels.has_outlines)
    train, val = (f'{HERE}/{file}' for file in files)
    return WrittenLabels(labels.classes, _from(folder, root), (train,), (val,))


def _write_lists(labels: Labels, folder: Path) -> WrittenLabels:
    pairs = [*labels.train, *labels.val]
    roots = _same_depth(pairs[0], [_common_folder(paths) for paths in zip(*((i.path, i.mask) for i in pairs))])
    extensions: dict[str, tuple[str, str]] = {}
    lists: list[tuple[str, ...]] = []
    for split, images in (('train', labels.train), ('val', labels.val)):
        groups: dict[tuple[str, str], list[str]] = {}
        for image in images:
            name, ending = os.path.splitext(os.path.relpath(os.path.abspath(image.path), roots[0]))
            groups.setdefault((ending, os.path.splitext(image.mask)[1]), []).append(f'{name}\n')
        files = [f'{FOLDER}/{split}{number or ""}.txt' for number in range(len(groups))]
        for file, (endings, names) in zip(files, groups.items()):
            write_text(folder / file, ''.join(names))
            extensions[f'{HERE}/{file}'] = endings
        lists.append(tuple(f'{HERE}/{file}' for file in files))
    train, val = lists
    return WrittenLabels(labels.classes, _from(folder, roots[0]), train, val, _from(folder, roots[1]), extensions)


def _same_depth(image: LabeledImage, roots: list[str]) -> list[str]:
    """Return folders of images and of masks from which both have the same names."""
    paths = [os.path.splitext(os.path.abspath(path))[0] for path in (image.path, image.mask)]
    names = [os.path.relpath(path, root).split(os.sep) for path, root in zip(paths, roots)]
    depth = max(map(len, names))
    return [os.sep.join(path.split(os.sep)[:-depth]) for path in paths]


def _common_folder(paths: Sequence[str]) -> str:
    return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])


def _from(folder: Path, path: str) -> str:
    return f'{HERE}/{os.path.relpath(path, folder.resolve())}'

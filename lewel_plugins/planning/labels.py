"""From ``--labels`` to the class of each image."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.packed import find_image

from .findings import plural, show
from .listing import Listing, list_images

PATH, LABEL = 'path', 'label'
ACCEPTED = f'class folders, a csv with the columns {PATH} and {LABEL}, COCO json, a VOC folder, or images/ and masks/'


@dataclass(frozen=True)
class Labels:
    """Images with a class each.

    Args:
        classes: Names of the classes, sorted.
        paths: The images, sorted.
        targets: Number of the class of each image.
        columns: Further columns of the csv, with a value for each image.
        unlabeled: Further columns of images that have no class, by path.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    targets: tuple[int, ...]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unlabeled: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def without(self, unwanted: Mapping[str, object]) -> 'Labels':
        """Return the labels without some images."""
        rest = [i for i, path in enumerate(self.paths) if path not in unwanted]
        columns = {name: tuple(values[i] for i in rest) for name, values in self.columns.items()}
        paths, targets = tuple(self.paths[i] for i in rest), tuple(self.targets[i] for i in rest)
        return Labels(self.classes, paths, targets, columns, self.unlabeled)


def read_labels(path: str | os.PathLike, roots: Sequence[str] = ()) -> Labels:
    """Read the classes of images.

    Args:
        path: A folder with one folder per class, at any depth below it; or a csv with the columns ``path`` and
            ``label`` and perhaps others. Paths in a csv start from its folder, or else from one of the roots. A row
            without a label says which other columns an image has.
        roots: Folders of the images.

    Raises:
        SetupError: It does not exist or cannot be read, holds no classes, or fewer than two.
    """
    name = os.path.expanduser(os.fspath(path))
    suffix = os.path.splitext(name)[1].lower()
    if os.path.isfile(name) and suffix == '.csv':
        return _labels(name, _read_csv(name, roots))
    if os.path.isfile(name):
        raise SetupError(f'{show(name)} holds no labels that can be read; give {ACCEPTED}')
    if os.path.isdir(name):
        entries = {entry.lower() for entry in os.listdir(name)}
        if {'annotations', 'jpegimages'} <= entries:
            raise SetupError(f'{show(name)} has the folders of VOC, but no xml file in Annotations')
        if {'images', 'masks'} <= entries:
            raise SetupError(f'{show(name)} has masks; their folders are to be named images and masks')
    return _labels(name, _read_folders(list_images([name])))


def class_labels(name: str, classes: Mapping[str, str]) -> Labels:
    """Return the labels of images by their path.

    Args:
        name: Where they come from, for the error.
        classes: Name of the class by path.

    Raises:
        SetupError: There are fewer than two classes.
    """
    return _labels(name, {path: {LABEL: label} for path, label in classes.items()})


def _labels(name: str, entries: Mapping[str, Mapping[str, str]]) -> Labels:
    rows = {path: row for path, row in entries.items() if row[LABEL]}
    unlabeled = {path: row for path, row in entries.items() if not row[LABEL]}
    classes = tuple(sorted({row[LABEL] for row in rows.values()}))
    if len(classes) < 2:
        raise SetupError(f'{show(name)} has {plural(len(classes), "class", "classes")}; two are the least')
    numbers = {label: number for number, label in enumerate(classes)}
    paths = tuple(sorted(rows))
    columns = {column: tuple(rows[path][column] for path in paths) for column in rows[paths[0]] if column != LABEL}
    return Labels(classes, paths, tuple(numbers[rows[path][LABEL]] for path in paths), columns, unlabeled)


def _read_folders(listing: Listing) -> dict[str, dict[str, str]]:
    rows, outside = {}, []
    for path in listing.paths:
        label, *rest = Path(listing.name(path)).parts
        if rest:
            rows[path] = {LABEL: label}
        else:
            outside.append(path)
    if outside:
        what = 'lies' if len(outside) == 1 else 'lie'
        raise SetupError(
            f'{plural(len(outside), "image")} of {listing.title} {what} in no class folder; the first is '
            f'{show(listing.name(outside[0]))}'
        )
    return rows


def _read_csv(name: str, roots: Sequence[str]) -> dict[str, dict[str, str]]:
    folders = [os.path.dirname(name), *roots]
    rows: dict[str, dict[str, str]] = {}
    try:
        with open(name, encoding='utf-8-sig', newline='') as file:
            reader = csv.DictReader(file)
            columns = [column.strip() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            if not {PATH, LABEL} <= set(columns):
                names = ', '.join(columns) or 'none'
                raise SetupError(f'{show(name)} has the columns {show(names)}; {PATH} and {LABEL} are needed')
            for row in reader:
                path, values = _read_row(f'line {reader.line_num} of {show(name)}', row, folders)
                if rows.setdefault(path, values)[LABEL] != values[LABEL]:
                    labels = ' and '.join(show(each[LABEL]) or 'none' for each in (rows[path], values))
                    raise SetupError(f'{show(name)} gives {show(path)} two labels: {labels}')
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f'cannot read {show(name)}: {getattr(error, "strerror", None) or error}') from None
    if not rows:
        raise SetupError(f'{show(name)} lists no image')
    return rows


def _read_row(place: str, row: Mapping[str, str | None], folders: Sequence[str]) -> tuple[str, dict[str, str]]:
    if None in row or None in row.values():
        raise SetupError(f'{place} has another number of cells than the header')
    values = {column: (value or '').strip() for column, value in row.items()}
    path = values.pop(PATH)
    if not path:
        raise SetupError(f'{place} has no {PATH}')
    if not any(values.values()):
        raise SetupError(f'{place} has no {LABEL}')
    existing = next(filter(None, (find_image(folder, path) for folder in folders)), None)
    if existing is None:
        places = ' or '.join(dict.fromkeys(show(folder or '.') for folder in folders))
        raise SetupError(f'{place}: {show(path)} is not a file in {places}')
    return existing, values

"""Boxes in the layout of PASCAL VOC: ``Annotations/*.xml``, ``JPEGImages`` and perhaps ``ImageSets/Main``."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.tree import EXTENSIONS
from lewel_plugins.planning.findings import Finding, plural, show

from .image_index import SizeReader, check_size
from .labels import Box, BoxReader, LabeledImage, Labels, box_findings
from .names import read_lines, read_names
from .split import overlap_findings, split_by_content

_LISTS = (('train.txt', 'val.txt'), ('trainval.txt', 'test.txt'), ('train.txt', 'test.txt'))
_MOST_DIGITS = 10  # a width or height has fewer
_CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


def voc_folder(folder: str) -> str | None:
    """Return the folder with ``Annotations``: this one, or the only one in it, as ``VOC2007``; None without one."""
    if not os.path.isdir(folder):
        return None
    folders = [folder, *sorted(str(path) for path in Path(folder).iterdir() if path.is_dir())]
    matches = [path for path in folders if any(Path(path, 'Annotations').glob('*.xml'))]
    if len(matches) > 1:
        raise SetupError(f'{show(folder)} has several VOC folders ({", ".join(map(show, matches[:3]))}); name one')
    return matches[0] if matches else None


def read_voc(folder: str) -> Labels:
    """Read the boxes of a VOC folder.

    Args:
        folder: The folder with ``Annotations`` and ``JPEGImages``. The lists ``train.txt`` and ``val.txt`` of
            ``ImageSets/Main`` (or ``trainval.txt`` and ``test.txt``) divide the images, otherwise their content does.

    Raises:
        SetupError: Something is missing, unreadable or contradictory; names it.
    """
    pictures = os.path.join(folder, 'JPEGImages')
    if not os.path.isdir(pictures):
        raise SetupError(f'{show(folder)} has Annotations, but no folder JPEGImages')
    boxes, sizes = BoxReader(), SizeReader()
    declared = read_names(folder)
    files = sorted(Path(folder, 'Annotations').glob('*.xml'))
    trees = {file.stem: _parse(file) for file in files}
    classes = declared or _classes(trees)
    images = {name: _read(Path(folder, 'Annotations', f'{name}.xml'), tree, pictures, classes, boxes, sizes)
              for name, tree in trees.items()}  # fmt: skip
    train, val, split, copies = _divide(folder, images)
    findings = (*copies, *sizes.findings(), *boxes.findings(), *box_findings(classes, train, val))
    return Labels('VOC', classes, tuple(train), tuple(val), split, findings)


def _parse(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two for unknown encodings
        raise SetupError(f'{show(file)} is no XML: {error}') from None
    except OSError as error:
        raise SetupError(f'cannot read {show(file)}: {(error.strerror or str(error)).lower()}') from None


def _classes(trees: dict[str, ET.Element]) -> tuple[str, ...]:
    """Return all class names in alphabetical order."""
    return tuple(sorted({_text(item, 'name') for tree in trees.values() for item in tree.iter('object')} - {''}))


def _read(
    file: Path, tree: ET.Element, pictures: str, classes: Sequence[str], boxes: BoxReader, sizes: SizeReader
) -> LabeledImage:
    path = _image(file, pictures)
    recorded = tuple(_whole(tree.find('size'), name) for name in ('width', 'height'))
    size = sizes.read(path, all(recorded))
    if all(recorded):
        check_size(path, size, str(file), recorded)  # type: ignore[arg-type]  # two numbers
    read = [_box(f'box {number} in {show(file)}', item, classes, boxes, size)
            for number, item in enumerate(tree.findall('object'), 1)]  # fmt: skip
    return LabeledImage(path, *size, tuple(box for box in read if box is not None))


def _image(file: Path, pictures: str) -> str:
    candidates = [os.path.join(pictures, file.stem + ending) for ending in EXTENSIONS]
    candidates += [os.path.join(pictures, file.stem + ending.upper()) for ending in EXTENSIONS]
    path = next((path for path in candidates if os.path.isfile(path)), None)
    if path is None:
        raise SetupError(f'{show(file)} has no image {show(os.path.join(pictures, file.stem))}{EXTENSIONS[0]}')
    return path


def _box(where: str, item: ET.Element, classes: Sequence[str], boxes: BoxReader, size: tuple[int, int]) -> Box | None:
    name = _text(item, 'name')
    bounds = item.find('bndbox')
    if bounds is None:
        raise SetupError(f'{where} has no bndbox')
    corners = [_text(bounds, corner) for corner in _CORNERS]
    if name not in classes:
        raise SetupError(
            f'{where}, ({", ".join(corners)}), has the class {name!r}; declared are {", ".join(classes) or "none"}'
        )
    try:  # VOC counts pixels from 1 and includes the last one
        values = [float(corner) - shift for corner, shift in zip(corners, (1, 1, 0, 0))]
    except ValueError:
        raise SetupError(f'{where} has the corners {corners}, which are not four numbers') from None
    inside = boxes.read(where, values, *size)
    return None if inside is None else Box(classes.index(name), inside, _text(item, 'difficult') == '1')


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(name) or '').strip()


def _whole(element: ET.Element | None, name: str) -> int:
    text = '' if element is None else _text(element, name)
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else 0


def _divide(
    folder: str, images: dict[str, LabeledImage]
) -> tuple[list[LabeledImage], list[LabeledImage], str, list[Finding]]:
    lists = Path(folder, 'ImageSets', 'Main')
    for names in _LISTS:
        files = [lists / name for name in names]
        if all(file.is_file() for file in files):
            train, val = (_listed(file, images) for file in files)
            split = f'{names[0]} of ImageSets/Main is trained on, {names[1]} is measured on'
            return train, val, split, overlap_findings(train, val, names)
    return *split_by_content(list(images.values())), []


def _listed_name(line: str, images: dict[str, LabeledImage]) -> str:
    """Return the name in a line, without what the lists of a class add: 1, 0 or -1."""
    with_class = re.fullmatch(r'(.*\S)\s+(1|0|-1)', line)
    return with_class[1] if with_class and line not in images else line


def _listed(file: Path, images: dict[str, LabeledImage]) -> list[LabeledImage]:
    names = [_listed_name(line, images) for line in read_lines(file)]
    missing = [name for name in names if name not in images]
    if missing:
        rest = f' (and {plural(len(missing) - 1, "other image")})' if len(missing) > 1 else ''
        raise SetupError(f'{show(file)} names {show(missing[0])}{rest}, which has no file in Annotations')
    if not names:
        raise SetupError(f'{show(file)} names no images')
    return [images[name] for name in names]

"""Labels in COCO's json."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.tree import is_run
from lewel_plugins.planning.findings import Finding, show

from .image_index import ImageIndex, SizeReader, check_size, refuse_missing
from .labels import Box, BoxReader, LabeledImage, Labels, box_findings
from .outlines import OutlineReader
from .split import overlap_findings, split_by_content

_VAL_NAMES = ('val', 'test', 'eval', 'dev')
_PARTS = ('images', 'annotations', 'categories')


def read_coco(path: str) -> Labels:
    """Read labels from a json file, or from a folder with one or two of them and images.

    Args:
        path: The file, which is divided by the content of the images, or the folder.

    Raises:
        SetupError: Something is missing, unreadable or contradictory; names it.
    """
    is_file = os.path.isfile(path)
    folder = os.path.dirname(path) or '.' if is_file else path
    train_file, val_file, notes = (path, None, []) if is_file else choose_files(path)
    index = ImageIndex(folder)
    if is_file and not index.has_images:  # as in annotations/instances.json beside images/
        index = ImageIndex(os.path.dirname(os.path.abspath(folder)))
    readers = _Readers()
    classes, train = _read_file(train_file, index, readers, None)
    val = [] if val_file is None else _read_file(val_file, index, readers, classes)[1]
    count, settled = len(train), readers.outlines.settle([*train, *val])
    train, val = settled[:count], settled[count:]
    if val_file is None:
        train, val, split = split_by_content(train)
    else:
        names = [show(os.path.relpath(file, path)) for file in (train_file, val_file)]
        split = f'{names[0]} is trained on, {names[1]} is measured on'
        notes += overlap_findings(train, val, names)
    findings = [*notes, *readers.findings(), *box_findings(classes, train, val)]
    return Labels('COCO', classes, tuple(train), tuple(val), split, tuple(findings))


def find_json(folder: str) -> list[str]:
    """Return the json files of a folder and its subfolders, one level deep, without hidden ones and those of runs."""
    files = [*Path(folder).glob('*.json'), *Path(folder).glob('*/*.json')]
    files = [file for file in files if not is_run(file.parent)]
    return sorted(str(file) for file in files if not any(part.startswith('.') for part in file.parts[-2:]))


def choose_files(folder: str) -> tuple[str, str | None, list[Finding]]:
    """Return the file to train on, the one to measure on, if any, and notes about others.

    Raises:
        SetupError: It does not follow from the names which is which.
    """
    files = find_json(folder)
    instances = [file for file in files if os.path.basename(file).startswith('instances')]
    files = instances or files  # COCO also has captions and keypoints
    if len(files) == 1:
        return files[0], None, []
    by_part: dict[str, list[str]] = {'train': [], 'val': [], 'test': []}
    for file in files:
        name = os.path.relpath(file, folder).lower()
        part = next((part for part in ('train', 'val') if part in name), None)
        part = part or ('test' if any(word in name for word in _VAL_NAMES) else None)
        by_part.setdefault(part or 'other', []).append(file)
    measured = by_part['val'] or by_part['test']
    if len(by_part['train']) != 1 or len(measured) != 1:
        names = ', '.join(show(os.path.relpath(file, folder)) for file in files[:4])
        raise SetupError(
            f'{show(folder)} has {len(files)} json files ({names}); one is needed, or one with "train" and one with '
            '"val" in its name'
        )
    unused = [file for file in files if file not in (*by_part['train'], *measured)]
    text = f'{", ".join(show(os.path.relpath(file, folder)) for file in unused)} is not used'
    return by_part['train'][0], measured[0], [Finding('note', 'files', text)] if unused else []


class _Readers:
    """What checks the parts of a file, and counts what was wrong with them but could be mended."""

    def __init__(self) -> None:
        self.sizes, self.boxes, self.outlines = SizeReader(), BoxReader(), OutlineReader()

    def findings(self) -> list[Finding]:
        return [*self.sizes.findings(), *self.boxes.findings(), *self.outlines.findings()]


def _read_file(
    file: str, index: ImageIndex, readers: _Readers, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], list[LabeledImage]]:
    """Return the classes, and the images in the order of the file.

    Args:
        file: The json file.
        index: The images.
        readers: Check what is labeled.
        classes: Classes of the file to train on; None if this is that file.
    """
    content = _parse(file)
    categories = _categories(content, file, classes)
    names = tuple(categories.values()) if classes is None else tuple(classes)
    images = _images(content, file, index, readers.sizes)
    grouped: dict[Any, list[Box]] = {key: [] for key in images}
    for annotation in content['annotations']:
        where = f'annotation {annotation.get("id")} in {show(file)}'
        if not _is_key(annotation.get('image_id'), images):
            raise SetupError(f'{where} is of image {annotation.get("image_id")!r}, which the file does not list')
        path, width, height = images[annotation['image_id']]
        if not _is_key(annotation.get('category_id'), categories):
            declared = ', '.join(f'{key} ({name})' for key, name in categories.items())
            raise SetupError(
                f'{where}, the box {annotation.get("bbox")} in {show(os.path.basename(path))}, has category '
                f'{annotation.get("category_id")!r}; declared are {declared}'
            )
        box = _box(where, annotation, names.index(categories[annotation['category_id']]), readers, (width, height))
        if box is not None:
            grouped[annotation['image_id']].append(box)
    return names, [LabeledImage(*images[key], tuple(grouped[key])) for key in images]


def _is_key(value: Any, entries: dict[Any, Any]) -> bool:
    return isinstance(value, (int, str)) and value in entries  # json may also hold a list, which no dict takes


def _parse(file: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(file).read_text(encoding='utf-8-sig'))
    except OSError as error:
        raise SetupError(f'cannot read {show(file)}: {(error.strerror or str(error)).lower()}') from None
    except (ValueError, RecursionError) as error:
        raise SetupError(f'{show(file)} is no json: {error}') from None
    missing = [name for name in _PARTS if not isinstance(content, dict) or not isinstance(content.get(name), list)]
    if missing:
        raise SetupError(f"{show(file)} is not in COCO's format: it has no list of {', '.join(missing)}")
    for name in _PARTS:
        if not all(isinstance(entry, dict) for entry in content[name]):
            raise SetupError(f"{show(file)} is not in COCO's format: an entry of {name} is no object")
    return content


def _categories(content: dict[str, Any], file: str, classes: Sequence[str] | None) -> dict[Any, str]:
    """Return the names of the categories by id, in the order of the ids."""
    entries = content['categories']
    if not entries:
        raise SetupError(f'{show(file)} declares no categories')
    for entry in entries:
        if not isinstance(entry.get('id'), int) or not isinstance(entry.get('name'), str):
            raise SetupError(f'{show(file)} has the category {entry}, which needs a whole number as id and a name')
    categories = {entry['id']: entry['name'] for entry in sorted(entries, key=lambda entry: entry['id'])}
    names = [entry['name'] for entry in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or len(categories) < len(entries):
        raise SetupError(f'{show(file)} declares {"an id" if twice is None else f"the category {twice!r}"} twice')
    unknown = [name for name in names if classes is not None and name not in classes]
    if unknown:
        raise SetupError(
            f'{show(file)} declares the category {unknown[0]!r}, which the file to train on does not; declared are '
            f'{", ".join(classes or ())}'
        )
    return categories


def _images(
    content: dict[str, Any], file: str, index: ImageIndex, sizes: SizeReader
) -> dict[Any, tuple[str, int, int]]:
    """Return path, width and height of each image by its id."""
    images: dict[Any, tuple[str, int, int]] = {}
    missing = []
    for entry in content['images']:
        name, key = entry.get('file_name'), entry.get('id')
        if not isinstance(name, str) or not isinstance(key, (int, str)):
            raise SetupError(f'{show(file)} has the image {entry}, which needs an id and a file_name')
        if key in images:
            raise SetupError(f'{show(file)} has two images with the id {key!r}')
        path = index.find(name, file)
        if path is None:
            missing.append(name)
            continue
        recorded = entry.get('width'), entry.get('height')
        is_compared = all(isinstance(value, int) and value > 0 for value in recorded)
        size = sizes.read(path, is_compared)
        if is_compared:
            check_size(path, size, file, recorded)  # type: ignore[arg-type]  # checked above
        images[key] = path, *size
    refuse_missing(missing, file, index.folder)
    if not images:
        raise SetupError(f'{show(file)} lists no images')
    return images


def _box(where: str, annotation: dict[str, Any], label: int, readers: _Readers, size: tuple[int, int]) -> Box | None:
    bbox = annotation.get('bbox')
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        raise SetupError(f'{where} has the bbox {bbox!r}; COCO has [left, top, width, height]')
    left, top, width, height = bbox
    corners = readers.boxes.read(where, (left, top, left + width, top + height), *size)
    if corners is None:
        return None
    outline = readers.outlines.read(where, annotation.get('segmentation'), size)
    area: Any = annotation.get('area')
    known = float(area) if _is_number(area) and area > 0 else 0.0
    return Box(label, corners, bool(annotation.get('iscrowd') or annotation.get('ignore')), outline, known)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1e300)  # a larger one is no float


def write_coco(file: Path, images: Sequence[LabeledImage], classes: Sequence[str], root: str, outlines: bool) -> None:
    """Write labels in COCO's format.

    Args:
        file: The json file.
        images: The images.
        classes: Names of the classes.
        root: Folder that the names of the images start from.
        outlines: Whether to write outlines. A crowd or difficult object without one gets that of its box.
    """
    from lewel_plugins.files import write_json

    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(images, 1):
        name = os.path.relpath(os.path.abspath(image.path), root)
        entries.append(dict(id=number, file_name=name, width=image.width, height=image.height))
        for box in image.boxes:
            annotations.append(dict(_annotation(box, outlines), id=len(annotations) + 1, image_id=number))
    categories = [dict(id=number, name=name) for number, name in enumerate(classes, 1)]
    write_json(file, dict(images=entries, annotations=annotations, categories=categories))


def _annotation(box: Box, outlines: bool) -> dict[str, Any]:
    left, top, right, bottom = box.corners
    width, height = box.size
    entry: dict[str, Any] = dict(
        category_id=box.label + 1,
        bbox=[left, top, width, height],
        area=box.area or width * height,
        iscrowd=int(box.is_ignored),
    )
    if outlines:
        entry['segmentation'] = box.outline or [[left, top, right, top, right, bottom, left, bottom]]
    return entry

"""Maps of classes: ``images/`` and ``masks/``, with one PNG of class indices per image, and perhaps ``classes.txt``."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.bounds import MAX_PIXELS
from lewel_plugins.planning.findings import Finding, plural, show

from .image_index import SizeReader, check_size, list_files
from .labels import LabeledImage, Labels, missing_classes
from .names import read_names
from .split import overlap_findings, split_by_content

IGNORED = 255
_MODES = ('L', 'P', '1')  # Pillow's modes with one channel of at most 8 bits
_VAL_FOLDERS = ('val', 'valid', 'validation', 'test')


def read_masks(folder: str) -> Labels:
    """Read the maps of classes of a folder.

    Args:
        folder: The folder with ``images`` and ``masks``. Subfolders ``train`` and ``val`` of both divide the images,
            otherwise their content does.

    Raises:
        SetupError: Something is missing, unreadable or contradictory; names it.
    """
    images, notes = _pairs(os.path.join(folder, 'images'), os.path.join(folder, 'masks'))
    declared = read_names(folder)
    pixels = {image.mask: count_pixels(image) for image in images}
    classes = declared or _number_classes(folder, pixels)
    for mask, counts in pixels.items():
        if max(counts, default=0) >= len(classes):
            raise SetupError(
                f'{show(mask)} has the value {max(counts)}, but there are {len(classes)} classes (values 0 to '
                f'{len(classes) - 1}: {", ".join(classes[:5])}{", …" if len(classes) > 5 else ""}); 255 is ignored'
            )
    train, val, split, copies = _divide(folder, images)
    totals = [sum((pixels[image.mask] for image in part), Counter()) for part in (train, val)]
    findings = [*notes, *copies, *missing_classes(classes, totals, ('pixel', 'pixels'))]
    return Labels('masks', classes, tuple(train), tuple(val), split, tuple(findings))


def _pairs(images: str, masks: str) -> tuple[list[LabeledImage], list[Finding]]:
    """Return each image with its mask, and notes about images that are turned and masks without an image."""
    mask_of = {os.path.splitext(os.path.relpath(path, masks))[0]: path for path in list_files(masks)}
    paths = list_files(images)
    if not paths:
        raise SetupError(f'there are no images in {show(images)}')
    names = [os.path.splitext(os.path.relpath(path, images))[0] for path in paths]
    unlisted = next((path for path, name in zip(paths, names) if not _can_be_listed(name)), None)
    if unlisted is not None:
        raise SetupError(
            f'{show(unlisted)} cannot be in a list of mmseg, whose names are text without a line break, and without a '
            'space at either end; rename the image and its mask'
        )
    missing = [path for path, name in zip(paths, names) if name not in mask_of]
    if missing:
        rest = f' (and {plural(len(missing) - 1, "other image")})' if len(missing) > 1 else ''
        expected = os.path.join(masks, os.path.splitext(os.path.relpath(missing[0], images))[0] + '.png')
        raise SetupError(f'{show(missing[0])}{rest} has no mask; expected is {show(expected)}')
    uses = Counter(names)
    twice = next((path for path, name in zip(paths, names) if uses[name] > 1), None)
    if twice is not None:
        raise SetupError(f'{show(twice)} shares its mask with an image of the same name and another extension')
    strays = sorted(set(mask_of) - set(names))
    text = f'{plural(len(strays), "mask")} without an image {"is" if len(strays) == 1 else "are"} left out'
    notes = [Finding('warning', 'masks', text, tuple(mask_of[name] for name in strays))] if strays else []
    sizes = SizeReader()
    pairs = [LabeledImage(path, *sizes.read(path, True), mask=mask_of[name]) for path, name in zip(paths, names)]
    return pairs, [*sizes.findings(), *notes]


def _can_be_listed(name: str) -> bool:
    """Return whether mmseg reads a name without extension from a line as it is; the line may start at a subfolder."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no text
        return False
    return '\n' not in name and all(part == part.lstrip() for part in name.split(os.sep)) and name == name.rstrip()


def count_pixels(image: LabeledImage) -> Counter[int]:
    """Return the number of pixels of a mask by class, without ignored ones.

    Args:
        image: The image, with its mask.

    Raises:
        SetupError: The mask is no PNG with one channel, or has another size than the image.
    """
    path = image.mask
    try:
        with Image.open(path) as mask:
            if mask.mode not in _MODES:
                channels = plural(len(mask.getbands()), 'channel')
                raise SetupError(
                    f'{show(path)} has {channels} of mode {mask.mode}; a mask has one channel of 8 bits with the index '
                    'of the class in each pixel, with a palette or without'
                )
            check_size(image.path, (image.width, image.height), path, mask.size)
            if mask.width * mask.height > MAX_PIXELS:
                raise SetupError(f'{show(path)} has more than {MAX_PIXELS / 1e6:.0f} million pixels')
            if not path.lower().endswith('.png'):
                raise SetupError(f'{show(path)} is no PNG; other formats may change the indices of the classes')
            histogram = mask.histogram()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise SetupError(f'{show(path)} cannot be decoded: {error}') from None
    if mask.mode == '1':  # Pillow counts its ones as 255
        histogram = [histogram[0], histogram[IGNORED]]
    return Counter({value: count for value, count in enumerate(histogram) if count and value != IGNORED})


def _number_classes(folder: str, pixels: dict[str, Counter[int]]) -> tuple[str, ...]:
    """Return ``0``, ``1``, … up to the highest value of all masks."""
    highest = max((max(counts, default=0) for counts in pixels.values()), default=0)
    if highest == 0:
        raise SetupError(
            f'the masks of {show(folder)} have one class, 0; a segmenter needs two or more, and 255 is ignored: write '
            '1 where a mask has 255, or name the classes in classes.txt'
        )
    return tuple(str(value) for value in range(highest + 1))


def _divide(
    folder: str, images: Sequence[LabeledImage]
) -> tuple[list[LabeledImage], list[LabeledImage], str, list[Finding]]:
    """Return the images to train on and to measure on, how they were divided, and copies on both sides."""
    parts = {image.path: Path(os.path.relpath(image.path, os.path.join(folder, 'images'))).parts[0] for image in images}
    measured = next((name for name in _VAL_FOLDERS if name in parts.values()), None)
    if measured is None or 'train' not in parts.values():
        return *split_by_content(images), []
    train, val = ([image for image in images if parts[image.path] == part] for part in ('train', measured))
    names = 'images/train', f'images/{measured}'
    return train, val, f'{names[0]} is trained on, {names[1]} is measured on', overlap_findings(train, val, names)

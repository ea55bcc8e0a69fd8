"""The images of a run beside those that are there when it goes on."""

import csv
import os
from collections.abc import Sequence
from functools import lru_cache

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.path_list import decode_lines, line_path
from lewel_plugins.planning.findings import Finding, plural, show
from lewel_plugins.planning.listing import list_images

from .run_folder import BROKEN, CONFIG, DUPLICATES, HOLDOUT, IMAGES, RunFolder


def check_snapshot(folder: RunFolder, images: Sequence[str]) -> list[Finding]:
    """Compare the images of a run, which it keeps to, with what the user's folders hold now.

    Args:
        folder: The folder of the run.
        images: Folders, files and lists of the user.

    Returns:
        A note about images that the run does not know.

    Raises:
        SetupError: An image of the run is missing.
    """
    own = _own_images(folder)
    missing = next((path for path in own if not os.path.isfile(path)), None)
    if missing is not None:
        raise SetupError(f'{show(missing)} is missing, which this run needs; put it back, or choose another --out')
    known = {_key(path) for path in [*own, *_left_out(folder)]}
    try:
        listing = list_images(images)
    except SetupError:  # as of a folder that is named in another way now
        return []
    count = sum(_key(path) not in known for path in listing.paths)
    if not count:
        return []
    text = f'{listing.title} has {plural(count, "image")} that this run does not know; it continues with its own'
    return [Finding('note', 'snapshot', f'{text} {len(own):,}')]


def _own_images(folder: RunFolder) -> list[str]:
    from mmengine.config import Config

    from lewel_plugins.datasets.image_list import read_image_list

    root = Config.fromfile(folder / CONFIG).train_dataloader.dataset.dataset.data_root
    names = read_image_list(folder / IMAGES)
    if (folder / HOLDOUT).is_file():
        names += read_image_list(folder / HOLDOUT)
    return [os.path.normpath(os.path.join(root, name)) for name in names]


def _left_out(folder: RunFolder) -> list[str]:
    """Return the broken files and the copies that the run has left out."""
    paths = []
    if (folder / BROKEN).is_file():
        paths += [line_path(line) for line in decode_lines((folder / BROKEN).read_bytes()) if line]
    if (folder / DUPLICATES).is_file():
        with open(folder / DUPLICATES, encoding='utf-8', errors='surrogateescape', newline='') as file:
            paths += [row['copy'] for row in csv.DictReader(file)]
    return paths


def _key(path: str) -> tuple[str, str]:
    """Return what names a file whatever links lead to its folder."""
    folder, name = os.path.split(path)
    return _real(folder), name


@lru_cache
def _real(folder: str) -> str:
    return os.path.realpath(folder)

"""The images of a run beside those that are there when it goes on."""

import csv
import gzip
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.inspection import content_digest
from lewel_plugins.image_files.packed import image_status, is_image_file, open_image
from lewel_plugins.image_files.path_list import decode_lines, line_path
from lewel_plugins.image_files.shards import ShardError
from lewel_plugins.planning.findings import Finding, plural, show
from lewel_plugins.planning.listing import list_images

from .run_folder import BROKEN, CONFIG, DUPLICATES, HOLDOUT, IMAGES, RunFolder, reading


def check_snapshot(folder: RunFolder, images: Sequence[str]) -> list[Finding]:
    """Compare the images of a run, which it keeps to, with what the user's folders hold now.

    Args:
        folder: The folder of the run.
        images: Folders, files and lists of the user.

    Returns:
        A warning about images that have changed, and a note about images that the run does not know.

    Raises:
        SetupError: A list of the run cannot be read, an image is missing, or shards are not as they were packed.
    """
    trained, held_out = _own_images(folder)
    own = [*trained, *held_out]
    missing = [path for path in own if not is_image_file(path)]
    if missing and len(missing) == len(own):
        raise SetupError(
            f'none of the {len(own):,} images in {show(folder / IMAGES)} is where the list expects it, the first at '
            f'{show(missing[0])}; move the images along with {show(folder.path)}, or choose a new --out'
        )
    if len(missing) > 1:
        raise SetupError(
            f'{len(missing):,} of the {len(own):,} images that this run needs are missing, the first is '
            f'{show(missing[0])}; put them back, or choose another --out'
        )
    if missing:
        raise SetupError(f'{show(missing[0])} is missing, which this run needs; put it back, or choose another --out')
    try:
        listing = list_images(images)
    except ShardError:
        raise
    except SetupError:  # as of a folder that is named in another way now
        return _changes(trained)
    findings = _changes(trained)
    known = {_key(path) for path in [*own, *_left_out(folder)]}
    count = sum(_key(path) not in known for path in listing.paths)
    if count:
        text = f'{listing.title} has {plural(count, "image")} that this run does not know; it continues with its own'
        findings.append(Finding('note', 'snapshot', f'{text} {len(own):,}'))
    return findings


@dataclass(frozen=True)
class _State:
    """What the run has noted of an image: bytes, digest of the content (empty if unknown), time of the last change."""

    size: int
    digest: str
    time: int


def _own_images(folder: RunFolder) -> tuple[dict[str, _State], list[str]]:
    """Return the images to train on, and the paths of those that are held out."""
    from lewel_plugins.datasets.image_list import read_image_list

    config = folder.config()
    with reading(folder / CONFIG):
        # The root starts with `..` from where a symbolic link to the run leads, of which normpath knows nothing.
        root = os.path.realpath(config.train_dataloader.dataset.dataset.data_root)

    def path_of(name: str) -> str:
        return os.path.normpath(os.path.join(root, name))

    trained = {}
    with reading(folder / IMAGES):
        for line in decode_lines(gzip.decompress((folder / IMAGES).read_bytes())):
            if line.strip():
                size, digest, changed = line.split('\t')[-3:]
                trained[path_of(line_path(line))] = _State(int(size), digest, int(changed))
    held_out = read_image_list(folder / HOLDOUT) if (folder / HOLDOUT).is_file() else []
    return trained, [path_of(name) for name in held_out]


def _changes(images: Mapping[str, _State]) -> list[Finding]:
    """Return a warning if files have been changed in place.

    A file with another size has been. With the same size but another time of its last change, the digest decides where
    there is one. Without a digest, the time does, unless the times of all files differ, as after the images have been
    copied.
    """
    now = {path: image_status(path) for path in images}
    touched = {path for path, state in images.items() if now[path].time != state.time}
    is_copy = len(touched) == len(images)

    def has_changed(path: str, state: _State) -> bool:
        if now[path].size != state.size:
            return True
        if path not in touched:
            return False
        if state.digest:
            with open_image(path) as file:
                return content_digest(file.readall()) != state.digest
        return not is_copy

    changed = [path for path, state in images.items() if has_changed(path, state)]
    if not changed:
        return []
    verb = 'has' if len(changed) == 1 else 'have'
    text = f'{len(changed):,} of {plural(len(images), "image")} {verb} changed since this run started'
    return [Finding('warning', 'changed', f'{text}; the first is {show(changed[0])}', tuple(changed))]


def _left_out(folder: RunFolder) -> list[str]:
    """Return the broken files and the copies that the run has left out."""
    paths = []
    if (folder / BROKEN).is_file():
        paths += [line_path(line) for line in decode_lines((folder / BROKEN).read_bytes()) if line]
    if (folder / DUPLICATES).is_file():
        with (
            reading(folder / DUPLICATES, 'delete it, or put back a copy of it'),
            open(folder / DUPLICATES, encoding='utf-8', errors='surrogateescape', newline='') as file,
        ):
            paths += [row['copy'] for row in csv.DictReader(file)]
    return paths


def _key(path: str) -> tuple[str, str]:
    """Return what names a file whatever links lead to its folder."""
    folder, name = os.path.split(path)
    return _real(os.path.abspath(folder)), name


@lru_cache
def _real(folder: str) -> str:
    return os.path.realpath(folder)

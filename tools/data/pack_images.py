"""Pack a folder of images into shards, so that slow disks read a few large files instead of many small ones.

python tools/data/pack_images.py data/imagenet/train /network/imagenet --labels data/imagenet/train

The shards are tar files in WebDataset's format, in the sorted order of the files. With --labels, each image has its
class beside it. `lewel pretrain`, `ImageTree` and `ImageShards` read the folder like the one that was packed, in the
same order. Files are packed as they are, also those that cannot be decoded. Links are followed, each folder once.
Hidden files, and files that are no images, are left out. Every shard is read again and compared with its checksums
before it gets its name. After an interruption, the same command continues. If some files cannot be read,
broken_images.txt lists them and the exit code is 1.
"""

import argparse
import hashlib
import os
import re
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.utils import ProgressBar

from lewel_plugins.errors import SetupError
from lewel_plugins.image_files.derived_folder import check_apart, claimed, write_listing
from lewel_plugins.image_files.pack import Source, cut, is_written, member_names, write_folder_index, write_shard
from lewel_plugins.image_files.packed import image_status
from lewel_plugins.image_files.shards import FOLDER_INDEX, SETTINGS
from lewel_plugins.planning.findings import plural
from lewel_plugins.planning.labels import Labels, read_labels
from lewel_plugins.planning.listing import list_images
from lewel_plugins.running.resources import cores

_UNITS = {'': 1, 'K': 10**3, 'M': 10**6, 'G': 10**9}


def shard_size(text: str) -> int:
    """Return a number of bytes, as in ``1G`` or ``256M``."""
    match = re.fullmatch(r'(\d+)([KMG]?)', text)
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f'{text!r} is no size such as 1G, 256M or 5000000')
    return int(match[1]) * _UNITS[match[2]]


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of images')
    parser.add_argument('target', type=Path, help='folder to make or to complete')
    parser.add_argument(
        '--shard-size', type=shard_size, default='1G', help='bytes of a shard, as in 256M or 1G (default: 1G)'
    )
    parser.add_argument('--labels', help='classes: a folder with one folder per class, or a csv (path, label)')
    parser.add_argument('--workers', type=int, default=cores(), help='shards at a time (default: one per core)')
    args = parser.parse_args(arguments)
    try:
        check_apart(args.source, args.target)
    except SetupError as error:
        parser.error(str(error))
    if args.workers < 1:
        parser.error(f'--workers must be at least 1, got {args.workers}')
    return args


def find_sources(args: argparse.Namespace) -> tuple[list[Source], Labels | None]:
    """List the images, with size and class."""
    listing = list_images([args.source])
    labels = None if args.labels is None else read_labels(args.labels, listing.roots)
    targets = {} if labels is None else {os.path.abspath(path): i for path, i in zip(labels.paths, labels.targets)}
    with ThreadPoolExecutor(32) as pool:  # a slow disk answers several questions at a time
        sizes = pool.map(_size, listing.paths)
        sources = [
            Source(path, listing.name(path), size, targets.get(os.path.abspath(path)))
            for path, size in zip(listing.paths, sizes)
        ]
    if labels is not None and all(source.label is None for source in sources):
        raise SetupError(f'--labels {args.labels} has no image of {args.source}')
    return sources, labels


def _size(path: str) -> int:
    try:
        return image_status(path).size
    except OSError:  # packing names it
        return 0


def settings(args: argparse.Namespace, sources: Sequence[Source], labels: Labels | None) -> dict:
    """Return what the shards follow from."""
    rows = '\0'.join(f'{source.name}\0{source.size}\0{source.label}' for source in sources)
    return dict(
        source=str(args.source.resolve()),
        shard_size=args.shard_size,
        labels=None if labels is None else str(Path(args.labels).resolve()),
        images=f'{plural(len(sources), "image")} with digest {hashlib.sha256(os.fsencode(rows)).hexdigest()[:12]}',
    )


class _Progress:
    """A bar that several threads move, and that stops them.

    Args:
        total: Number of images.
    """

    def __init__(self, total: int) -> None:
        self._bar, self._lock, self._is_stopped = ProgressBar(total, file=sys.stdout), threading.Lock(), False

    def move(self, count: int = 1) -> None:
        if self._is_stopped:
            raise KeyboardInterrupt
        with self._lock:
            if count:
                self._bar.update(count)

    def stop(self) -> None:
        self._is_stopped = True


def write_shards(target: Path, parts: Sequence[Sequence[Source]], workers: int) -> list[str]:
    """Write the shards that are not there. Return the problems with images that cannot be packed."""
    names = iter(member_names([source.name for part in parts for source in part]))
    members = [[next(names) for _ in part] for part in parts]
    progress = _Progress(sum(map(len, parts)))
    missing = [number for number, part in enumerate(parts) if not is_written(target, number, part)]
    if missing:
        (target / FOLDER_INDEX).unlink(missing_ok=True)
    progress.move(sum(map(len, parts)) - sum(len(parts[number]) for number in missing))

    def write(number: int) -> list[str]:
        return write_shard(target, number, parts[number], members[number], progress.move)

    with ThreadPoolExecutor(workers) as pool:
        try:
            return [problem for problems in pool.map(write, missing) for problem in problems]
        except BaseException:
            progress.stop()
            pool.shutdown(cancel_futures=True)
            raise


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    start = time.monotonic()
    try:
        sources, labels = find_sources(args)
        parts = cut(sources, args.shard_size)
        with claimed(args.target, SETTINGS, settings(args, sources, labels)):
            problems = write_shards(args.target, parts, args.workers)
            count = write_folder_index(args.target, len(parts), () if labels is None else labels.classes)
            shards = plural(len(parts), 'shard')
            print(f'\n{plural(count, "image")} in {shards} in {args.target} after {time.monotonic() - start:.0f} s')
            write_listing(args.target, problems)
    except (SetupError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()

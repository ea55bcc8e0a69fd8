"""Copy a folder of images with the shorter side at most SIZE pixels, so that every epoch decodes less.

python tools/data/resize_images.py data/imagenet data/imagenet_400px        # then set data_root to the copy

The copy has the same folders, file names and other files, such as lists of classes. An image is resized by Pillow's
anti-aliased bicubic filter and written as JPEG, upright and in RGB. (PNGs and others keep their format.) An image that
is small enough is copied byte by byte. Every new file is decoded again before it gets its name. After an interruption,
the same command continues. Links are followed, each folder once. Hidden files are left out. If some files cannot be
copied, broken_images.txt lists them and the exit code is 1.
"""

import argparse
import io
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
from mmengine.utils import ProgressBar
from PIL import Image

from lewel_plugins.errors import SetupError
from lewel_plugins.files import replacing, write_bytes
from lewel_plugins.image_files.decode import decode_bgr, naming_broken_image
from lewel_plugins.image_files.derived_folder import check_apart, claimed, write_listing
from lewel_plugins.image_files.tree import EXTENSIONS
from lewel_plugins.running.resources import cores
from lewel_plugins.transforms import BrokenImageError, LoadRGB

SETTINGS = 'resize_images.json'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of images')
    parser.add_argument('target', type=Path, help='folder to make or to complete')
    parser.add_argument('--size', type=int, default=400, help='shorter side in pixels (default: 400)')
    parser.add_argument('--quality', type=int, default=92, help='JPEG quality, 1 to 100 (default: 92)')
    parser.add_argument('--workers', type=int, default=cores(), help='number of processes (default: one per core)')
    args = parser.parse_args()
    try:
        check_apart(args.source, args.target)
    except SetupError as error:
        parser.error(str(error))
    if args.size < 1 or args.workers < 1 or not 1 <= args.quality <= 100:
        parser.error(
            f'size and workers must be positive, quality 1 to 100: {args.size}, {args.workers}, {args.quality}'
        )
    return args


def find_files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder that are not hidden, relative to it. Links are followed, each folder once."""
    visited = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            if not name.startswith('.'):
                yield Path(root, name).relative_to(folder)


def encode(image: Image.Image, suffix: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    file_format = Image.registered_extensions()[suffix.lower()]
    image.save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def resized(source: Path, size: int, quality: int) -> bytes:
    """Return the content of the copy of an image. Raises BrokenImageError."""
    bgr = LoadRGB(may_halve=True)(dict(img_path=str(source)))['img']  # also detects truncated files
    height, width = bgr.shape[:2]
    if min(height, width) <= size:
        return source.read_bytes()
    scale = size / min(height, width)
    image = Image.fromarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    return encode(image, source.suffix, quality)


def checked(source: Path, size: int, quality: int) -> bytes:
    """Return the content of the copy of an image, which can be decoded. Raises BrokenImageError."""
    try:
        data = resized(source, size, quality)
    except (OSError, ValueError) as error:  # it cannot be read, or is too large for its format
        raise BrokenImageError(str(source), str(error)) from error
    with naming_broken_image(str(source)):
        decode_bgr(data, may_halve=True)
    return data


def parts_of(source: Path) -> Iterator[bytes]:
    """Yield the content of a file, which may be an archive larger than the memory. Raises BrokenImageError."""
    with naming_broken_image(str(source)), open(source, 'rb') as file:
        while part := file.read(1 << 20):
            yield part


def copy(name: Path, source: Path, target: Path, size: int, quality: int) -> str:
    """Copy one file unless the copy exists.

    Returns:
        The problem with the file, or an empty string.

    Raises:
        OSError: The copy cannot be written, as on a full disk, where no other file could be either.
    """
    goal = target / name
    if goal.exists():
        return ''
    try:
        if name.suffix.lower() in EXTENSIONS:
            write_bytes(goal, checked(source / name, size, quality))
        else:
            with replacing(goal) as partial, open(partial, 'wb') as file:
                for part in parts_of(source / name):
                    file.write(part)
    except BrokenImageError as error:
        return f'{name}: {error.reason}'
    return ''


def start_worker(lock: int) -> None:
    """Let go of the lock, which a worker would hold for ever after a kill of this process, and use one thread."""
    os.close(lock)
    cv2.setNumThreads(0)


def copy_all(names: list[Path], args: argparse.Namespace, lock: int) -> list[str]:
    """Copy files in parallel. Return the problems with those that cannot be copied."""
    task = partial(copy, source=args.source, target=args.target, size=args.size, quality=args.quality)
    problems = []
    bar = ProgressBar(len(names))
    fork = get_context('fork')  # the workers inherit the lock
    with ProcessPoolExecutor(args.workers, fork, initializer=start_worker, initargs=(lock,)) as pool:
        try:
            for problem in pool.map(task, names, chunksize=8):
                if problem:
                    problems.append(problem)
                bar.update()
        except BrokenProcessPool:
            sys.exit(
                f'\nerror: a worker was killed, perhaps for lack of memory: run again with fewer --workers than '
                f'{args.workers}; files that are copied stay'
            )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return problems


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    names = list(find_files(args.source))
    if not names:
        sys.exit(f'error: no files in {args.source}')
    try:
        settings = dict(source=str(args.source.resolve()), size=args.size, quality=args.quality)
        with claimed(args.target, SETTINGS, settings) as lock:
            problems = copy_all(names, args, lock)
            print(f'\n{len(names) - len(problems)} files in {args.target} after {time.monotonic() - start:.0f} s')
            write_listing(args.target, problems)
    except (SetupError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()

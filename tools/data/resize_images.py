"""Copy a folder of images with the shorter side at most SIZE pixels, so that every epoch decodes less.

python tools/data/resize_images.py data/imagenet data/imagenet_400px        # then set data_root to the copy

The tree stays as it is: folders, file names and all files that are no images, such as lists of classes. An image is
resized by Pillow's anti-aliased bicubic filter and written as JPEG, upright and in RGB (a PNG and others stay of their
kind); one that is small enough is copied byte by byte. Every new file is decoded again before it takes its name. A run
that was stopped goes on where it was. Links are followed, each folder once; hidden files are left out. Images and other
files that cannot be copied are listed in broken_images.txt and make the exit code 1.
"""

import argparse
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import BinaryIO

import cv2
from mmengine.utils import ProgressBar
from PIL import Image

from lewel_plugins.datasets.image_tree import EXTENSIONS
from lewel_plugins.running.provenance import cores
from lewel_plugins.transforms import BrokenImageError, LoadRGB
from lewel_plugins.transforms.decode import decode_bgr, naming_broken_image

LISTING, SETTINGS = 'broken_images.txt', 'resize_images.json'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='folder of images')
    parser.add_argument('target', type=Path, help='folder to make or to complete')
    parser.add_argument('--size', type=int, default=400, help='shorter side in pixels (400)')
    parser.add_argument('--quality', type=int, default=92, help='JPEG quality, 1 to 100 (92)')
    parser.add_argument('--workers', type=int, default=cores(), help='processes (one a core)')
    args = parser.parse_args()
    if not args.source.is_dir():
        parser.error(f'{args.source} is not a folder')
    source, target = args.source.resolve(), args.target.resolve()
    if args.target.exists() and not args.target.is_dir():
        parser.error(f'{args.target} is not a folder')
    if source == target or source in target.parents or target in source.parents:
        parser.error(f'{args.target} must lie outside of {args.source}, and the other way round')
    if args.size < 1 or args.workers < 1 or not 1 <= args.quality <= 100:
        parser.error(
            f'size and workers must be positive, quality 1 to 100: {args.size}, {args.workers}, {args.quality}'
        )
    return args


def find_files(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden, relative to it; links are followed, each folder once."""
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


def write(path: Path, content: BinaryIO) -> None:
    """Write a whole file or none: under another name first, forced to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with open(part, 'wb') as file:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def encode(image: Image.Image, suffix: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    file_format = Image.registered_extensions()[suffix.lower()]
    image.save(buffer, file_format, quality=quality)
    return buffer.getvalue()


def resized(source: Path, size: int, quality: int) -> bytes:
    """What the copy of an image holds. Raises BrokenImageError."""
    bgr = LoadRGB()(dict(img_path=str(source)))['img']  # also finds files that are cut off
    height, width = bgr.shape[:2]
    if min(height, width) <= size:
        return source.read_bytes()
    scale = size / min(height, width)
    image = Image.fromarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    return encode(image, source.suffix, quality)


def copy(name: Path, source: Path, target: Path, size: int, quality: int) -> str:
    """Make one file's copy, unless it is there; what is wrong with the file, or nothing."""
    goal = target / name
    if goal.exists():
        return ''
    content: BinaryIO
    try:
        if name.suffix.lower() in EXTENSIONS:
            data = resized(source / name, size, quality)
            with naming_broken_image(str(name)):
                decode_bgr(data)
            content = io.BytesIO(data)
        else:
            content = open(source / name, 'rb')  # noqa: SIM115  (an archive may be larger than the memory)
    except BrokenImageError as error:
        return f'{name}: {error.reason}'
    except (OSError, ValueError) as error:  # it cannot be read, or is too long for its kind of file
        return f'{name}: {error}'
    with content:
        write(goal, content)
    return ''


def claim(target: Path, settings: dict) -> None:
    """Note the settings in the folder; one that was made with others, or by someone else, is left alone."""
    path = target / SETTINGS
    if path.is_file():
        found = json.loads(path.read_text())
        if found != settings:
            sys.exit(f'error: {target} was made with {found}, not with {settings}: choose another folder')
    elif target.exists() and any(target.iterdir()):
        sys.exit(f'error: {target} is not empty and holds no {SETTINGS} of an earlier run')
    else:
        write(path, io.BytesIO(json.dumps(settings).encode()))


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    names = list(find_files(args.source))
    if not names:
        sys.exit(f'error: no files in {args.source}')
    claim(args.target, dict(source=str(args.source.resolve()), size=args.size, quality=args.quality))
    for part in args.target.rglob('.*.part'):
        part.unlink()  # of a run that was killed
    task = partial(copy, source=args.source, target=args.target, size=args.size, quality=args.quality)
    broken = []
    bar = ProgressBar(len(names))
    with ProcessPoolExecutor(args.workers, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        try:
            for problem in pool.map(task, names, chunksize=8):
                if problem:
                    broken.append(problem)
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
        except BrokenProcessPool:
            sys.exit(
                f'\nerror: a worker was killed, perhaps for lack of memory: run again with fewer --workers than '
                f'{args.workers}; what is done stays done'
            )
    listing = args.target / LISTING
    listing.unlink(missing_ok=True)
    print(f'\n{len(names) - len(broken)} files in {args.target} after {time.monotonic() - start:.0f} s')
    if broken:
        write(listing, io.BytesIO('\n'.join([*sorted(broken), '']).encode()))
        sys.exit(f'error: {len(broken)} files are broken and left out, see {listing}')


if __name__ == '__main__':
    main()

"""Images per second from files and from shards that are not in memory, in a random order.

A set of files with random content and the sizes of photographs is written, and packed by `tools/data/pack_images.py`.
Both are read through `read_file`, as in a training, by one process and by several, in the same random order; nothing is
decoded. Before each round the system forgets what it holds: by `drop` = caches everything, for which root is needed; by
`drop` = files the content of these files only, while their folders and inodes stay in memory. `--requests` makes a slow
disk of a fast one: a control group (blkio of version 1, as root) lets the processes read only so often per second. The
table shows the median over the rounds, which alternate. A listing, as at the start of a training, finds all images and
their sizes.

python tools/measurements/packed_input.py --disk /mnt/slow --out docs/results/packed_input.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from lewel_plugins.image_files.decode import read_file
from lewel_plugins.image_files.packed import file_of, image_status
from lewel_plugins.image_files.tree import list_images
from lewel_plugins.running import provenance

ROOT = Path(__file__).resolve().parents[2]
CACHES = Path('/proc/sys/vm/drop_caches')
GROUPS = Path('/sys/fs/cgroup/blkio')
FOLDERS = 100


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Images per second from files and from shards, out of memory.')
    parser.add_argument('--disk', type=Path, default=ROOT, help='folder on the disk (default: this checkout)')
    parser.add_argument('--images', type=int, default=10_000, help='number of files (default: 10,000)')
    parser.add_argument('--kilobytes', type=float, default=110, help='their mean size in kB (default: 110)')
    parser.add_argument('--shard-size', default='256M', help='as in pack_images.py (default: 256M)')
    parser.add_argument('--readers', type=int, nargs='+', default=[1, 4], help='numbers of processes (default: 1 4)')
    parser.add_argument('--repeats', type=int, default=3, help='rounds (default: 3)')
    parser.add_argument('--drop', choices=('caches', 'files'), default='caches', help='what the system forgets')
    parser.add_argument('--requests', type=int, help='requests per second that the disk takes (default: all)')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    args = parser.parse_args()
    if args.drop == 'caches' and not os.access(CACHES, os.W_OK):
        parser.error(f'{CACHES} cannot be written; run as root, or use --drop files')
    return args


def write_files(folder: Path, count: int, kilobytes: float) -> float:
    """Write files of random content, and return their mean size in kB."""
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(sigma=0.5, size=count)
    sizes = (sizes * kilobytes * 1000 / sizes.mean()).astype(int)
    for i, size in enumerate(sizes.tolist()):
        path = folder / f'{i % FOLDERS:03}' / f'{i:06}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.bytes(size))
    return float(sizes.mean()) / 1000


def pack(files: Path, shards: Path, shard_size: str) -> None:
    tool = ROOT / 'tools' / 'data' / 'pack_images.py'
    command = [sys.executable, str(tool), str(files), str(shards), '--shard-size', shard_size]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def forget(paths: Sequence[str], drop: str) -> None:
    """Have the system read files from the disk next time."""
    os.sync()
    if drop == 'caches':
        CACHES.write_text('3\n')
        return
    for path in dict.fromkeys(map(file_of, paths)):
        with open(path, 'rb') as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def listing_seconds(folder: Path, paths: Sequence[str], drop: str) -> float:
    """Return the time to find all images of a folder and their sizes."""
    forget(paths, drop)
    start = time.perf_counter()
    for path in list_images(str(folder)):
        image_status(path)
    return time.perf_counter() - start


def read_all(paths: Sequence[str]) -> int:
    return sum(len(read_file(path)) for path in paths)


@contextmanager
def slow_disk(disk: Path, requests: int | None) -> Iterator[None]:
    """Bound the requests per second of this process, and of those that it starts, on the disk of a folder."""
    if requests is None:
        yield
        return
    device = disk.stat().st_dev
    group = GROUPS / f'packed_input-{os.getpid()}'
    group.mkdir()
    try:
        (group / 'blkio.throttle.read_iops_device').write_text(f'{os.major(device)}:{os.minor(device)} {requests}\n')
        (group / 'cgroup.procs').write_text(f'{os.getpid()}\n')
        yield
    finally:
        (GROUPS / 'cgroup.procs').write_text(f'{os.getpid()}\n')
        group.rmdir()


def rate(paths: list[str], readers: int, drop: str) -> float:
    """Return the images per second of several processes that have started."""
    order = [paths[i] for i in np.random.default_rng(1).permutation(len(paths))]
    with ProcessPoolExecutor(readers) as pool:
        list(pool.map(read_all, [[]] * readers))
        forget(paths, drop)
        start = time.perf_counter()
        sizes = list(pool.map(read_all, [order[i::readers] for i in range(readers)]))
        seconds = time.perf_counter() - start
    assert sum(sizes) > 0
    return len(paths) / seconds


def measure(sources: dict[str, list[str]], readers: int, repeats: int, drop: str) -> dict:
    """Return the median rates of files and shards, and their ratio."""
    rounds = [{name: rate(paths, readers, drop) for name, paths in sources.items()} for _ in range(repeats)]
    rates = {name: median(each[name] for each in rounds) for name in sources}
    return dict(readers=readers, **rates, ratio=rates['shards'] / rates['files'], rounds=rounds)


def row(result: dict) -> str:
    return f'| {result["readers"]} | {result["files"]:.0f} | {result["shards"]:.0f} | {result["ratio"]:.2f} |'


def main() -> None:
    args = parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix='packed_input-', dir=args.disk) as scratch:
        files, shards = Path(scratch, 'files'), Path(scratch, 'shards')
        size = write_files(files, args.images, args.kilobytes)
        pack(files, shards, args.shard_size)
        sources = {folder.name: list_images(str(folder)) for folder in (files, shards)}
        count = len(list(shards.glob('*.tar')))
        with slow_disk(args.disk, args.requests):
            rounds = [
                {folder.name: listing_seconds(folder, sources[folder.name], args.drop) for folder in (files, shards)}
                for _ in range(args.repeats)
            ]
            listing = {name: median(each[name] for each in rounds) for name in sources}
            print(f'listing: files {listing["files"]:.2f} s, shards {listing["shards"]:.2f} s', flush=True)
            for readers in args.readers:
                results.append(measure(sources, readers, args.repeats, args.drop))
                print(row(results[-1]), flush=True)
    described = dict(provenance.record(), images=f'{args.images:,} of {size:.0f} kB on average, {count} shards')
    described['drop'] = args.drop
    described['listing'] = f'files {listing["files"]:.2f} s, shards {listing["shards"]:.2f} s'
    if args.requests:
        described['disk'] = f'at most {args.requests} requests per second'
    if args.out:
        lines = ['# Input: images per second from files and from shards', '']
        lines += ['| processes | files | shards | shards / files |', '|---|---|---|---|', *map(row, results)]
        lines += ['', __doc__.split('\n\n')[1].replace('\n', ' ')]
        lines += ['', *(f'- {key}: {value}' for key, value in described.items())]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(**described, repeats=args.repeats, rows=results), indent=2) + '\n')
        args.out.with_suffix('.md').write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    main()

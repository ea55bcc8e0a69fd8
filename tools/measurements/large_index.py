"""The index of a large folder: time to build it, and memory in the main process and in each worker.

A list of names like those of ImageNet is read by ImageList, which holds the paths; as mmengine holds it, a pickled dict
per image; and as a list of dicts (``serialize_data=False``). Each runs in a process of its own, beside one with few
names. Workers then look up all images in random order. Unique memory is that of pages that no other process shares
(Private_Clean and Private_Dirty of smaps_rollup), and that of all processes is the sum of their shares (Pss). Real
folders of empty files are listed, too, from names that are in the memory of the system. What is built or listed has
processor time, in which other jobs matter little.

python tools/measurements/large_index.py --out docs/results/large_index.json
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader, Dataset

from lewel_plugins.datasets import ImageList, ImageTree
from lewel_plugins.image_files.tree import list_images
from lewel_plugins.running import provenance

FEW = 1000
BATCH = 1000


class Pickled(ImageList):
    """The images as mmengine holds them."""

    get_data_info, _serialize_data = BaseDataset.get_data_info, BaseDataset._serialize_data


class Dicts(Pickled):
    """The images as a list of dicts."""

    def full_init(self) -> None:
        self.serialize_data = False
        super().full_init()


KINDS = {'few names': ImageList, 'ours': ImageList, 'mmengine': Pickled, 'dicts': Dicts}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Time and memory of the index of a large folder.')
    parser.add_argument('--names', type=int, default=1_300_000, help='names in the list (default: 1,300,000)')
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 4, 8], help='numbers of workers (default: 1 4 8)')
    parser.add_argument('--kinds', nargs='+', default=list(KINDS), choices=list(KINDS), help='rows (default: all)')
    parser.add_argument('--files', type=int, default=100_000, help='empty files to list; 0 for none (default: 100,000)')
    parser.add_argument('--folders', type=int, default=1000, help='folders that they are in (default: 1,000)')
    parser.add_argument('--folder', type=Path, help='where to write list and files (default: the temporary folder)')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    parser.add_argument('--only', nargs=2, metavar=('KIND', 'LIST'), help=argparse.SUPPRESS)  # in a process of its own
    return parser.parse_args()


def name(i: int, folders: int = 1000) -> str:
    return f'n{i % folders:08}/n{i % folders:08}_{i // folders}.JPEG'


def megabytes(process: int, *kinds: str) -> float:
    """Return the sum of some kinds of memory of a process."""
    lines = (line.split() for line in Path(f'/proc/{process}/smaps_rollup').read_text().splitlines()[1:])
    return sum(int(line[1]) for line in lines if line[0].rstrip(':') in kinds) * 1024 / 1e6


def unique(process: int) -> float:
    return megabytes(process, 'Private_Clean', 'Private_Dirty')


def peak() -> float:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) * 1024 / 1e6


class Lengths(Dataset):
    """The length of the path of each image."""

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> int:
        return len(self.dataset.get_data_info(index)['img_path'])


class Batches:
    """Batches of all indices in random order."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng(0).permutation(self.count)
        for start in range(0, self.count, BATCH):
            yield order[start : start + BATCH].tolist()


def measure_index(kind: str, file: str, workers: list[int]) -> dict[str, Any]:
    """Return seconds and megabytes of the index of a list, and what workers add."""
    before = unique(os.getpid())
    Path('/proc/self/clear_refs').write_text('5')  # forgets the peak
    low, start = peak(), time.process_time()
    dataset = KINDS[kind](file)
    seconds = time.process_time() - start
    row = dict(kind=kind, names=len(dataset), seconds=seconds, held=unique(os.getpid()) - before, peak=peak() - low)
    return dict(row, workers=[measure_workers(dataset, count) for count in workers])


def measure_workers(dataset: BaseDataset, count: int) -> dict[str, Any]:
    """Return what the workers of a loader take: at its first batch, and when all images have been looked up."""
    loader: DataLoader = DataLoader(
        Lengths(dataset), batch_sampler=Batches(len(dataset)), num_workers=count, persistent_workers=True
    )
    start = time.perf_counter()
    batches = iter(loader)
    total = int(next(batches).sum())
    first = time.perf_counter() - start
    processes = [process.pid or 0 for process in multiprocessing.active_children()]
    before = sum(map(unique, processes)) / count
    total += sum(int(batch.sum()) for batch in batches)
    after = sum(map(unique, processes)) / count
    whole = sum(megabytes(process, 'Pss') for process in [os.getpid(), *processes])
    seconds = time.perf_counter() - start
    return dict(workers=count, first=first, before=before, after=after, whole=whole, seconds=seconds, characters=total)


def measure_tree(folder: Path, files: int, folders: int) -> dict[str, float]:
    """Write empty files, and return the seconds in which they are listed; the least of three."""
    from mmpretrain.datasets import CustomDataset  # here, because the processes of the rows need no mmpretrain

    for i in range(folders):
        (folder / name(i, folders)).parent.mkdir(parents=True)
    for i in range(files):
        (folder / name(i, folders)).touch()
    ways = dict(
        scandir=lambda: count_entries(str(folder)),
        listed=lambda: len(list_images(str(folder))),
        built=lambda: len(ImageTree(str(folder))),
        mmpretrain=lambda: len(CustomDataset(data_root=str(folder))),
    )
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(3):
        for way, function in ways.items():
            start = time.process_time()
            assert function() == files
            seconds[way].append(time.process_time() - start)
    return dict(files=files, folders=folders, **{way: min(times) for way, times in seconds.items()})


def count_entries(folder: str) -> int:
    """Return the number of files in a folder and its subfolders: the least that a listing must read."""
    count = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            count += count_entries(entry.path) if entry.is_dir() else 1
    return count


def main() -> None:
    args = parse_args()
    if args.only:
        torch.set_num_threads(1)
        kind, file = args.only
        print(json.dumps(measure_index(kind, file, args.workers)))
        return
    described: dict[str, Any] = provenance.record()
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        rows = []
        for kind in args.kinds:
            file = Path(scratch) / f'{kind}.txt'
            file.write_text(''.join(f'{name(i)}\n' for i in range(FEW if kind == 'few names' else args.names)))
            command = [
                sys.executable,
                '-W',
                'ignore',
                __file__,
                '--only',
                kind,
                str(file),
                '--workers',
                *map(str, args.workers),
            ]
            rows.append(
                json.loads(
                    subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
                )
            )
            print(json.dumps(rows[-1]), flush=True)
        tree = measure_tree(Path(scratch) / 'tree', args.files, args.folders) if args.files else None
    text = markdown(rows, tree, described)
    print(text)
    if args.out:
        args.out.write_text(json.dumps(dict(described, rows=rows, tree=tree), indent=2) + '\n')
        args.out.with_suffix('.md').write_text(text)


def markdown(rows: list[dict], tree: dict | None, described: dict) -> str:
    lines = [
        '# The index of a large folder',
        '',
        '| index | names | s to build | MB | MB at the peak |',
        '|---' * 5 + '|',
    ]
    lines += [
        f'| {row["kind"]} | {row["names"]:,} | {row["seconds"]:.2f} | {row["held"]:.0f} | {row["peak"]:.0f} |'
        for row in rows
    ]
    heads = ['index', 'workers', 's to the first batch', 'unique MB per worker then', 'and after a pass',
             'MB of all processes', 's for all']  # fmt: skip
    lines += ['', '| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|']
    for row in rows:
        for part in row['workers']:
            numbers = (f'{part[key]:.0f}' for key in ('before', 'after', 'whole'))
            lines.append(
                f'| {row["kind"]} | {part["workers"]} | {part["first"]:.2f} | {" | ".join(numbers)} | '
                f'{part["seconds"]:.1f} |'
            )
    if tree:
        lines += [
            '',
            f'{tree["files"]:,} empty files in {tree["folders"]:,} folders: `os.scandir` alone takes '
            f'{tree["scandir"]:.2f} s, `list_images` {tree["listed"]:.2f} s, `ImageTree` {tree["built"]:.2f} s '
            f'({tree["files"] / tree["built"]:,.0f} files per second), and `CustomDataset` of mmpretrain '
            f'(with the folders as labels) {tree["mmpretrain"]:.2f} s.',
        ]
    lines += ['', (__doc__ or '').split('\n\n')[1].replace('\n', ' ').replace('``', '`'), '']
    return '\n'.join([*lines, *(f'- {key}: {value}' for key, value in described.items())]) + '\n'


if __name__ == '__main__':
    main()

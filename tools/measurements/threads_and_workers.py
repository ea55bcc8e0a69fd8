"""Loading images by threads against workers of a DataLoader: rate, start, memory, and the time of the main thread.

Both load the same JPEG files of 500 × 375 by BYOL's two views, batch by batch, with two batches ahead per thread or
worker. Each row runs in a process of its own, and has the median over rounds in which threads and workers alternate.
Views per processor second count the time of all processes. The start is the time to the first batch, the memory what
all processes together have more than the one before it (Pss), and the last column the time that 20 ms of Python in the
main thread take while batches are loaded, as a step of a training has them to launch its kernels; where there are as
many threads or workers as cores, these compete for the cores, too. Threads draw their views from the generators of the
process, so that these views are not a function of seed, epoch and index.

The lines below the table state how memory and start grow, by a line through the rows, and how far the rate of threads
can. The latter follows from the share of the processor time that is neither in the decoder nor in the kernels of the
views, which release the lock of Python.

python tools/measurements/threads_and_workers.py --out docs/results/threads_and_workers.json
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from input_speed import our_dataset, write_photographs
from large_index import megabytes
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset

from lewel_plugins.running import provenance
from lewel_plugins.transforms.ops import image as image_ops

BATCH, VIEWS = 32, 2
AHEAD = 2  # batches per thread or worker
PYTHON_STEP = 0.02  # s
KINDS = ('threads', 'workers')
FIGURES = ('rate', 'per_second', 'first', 'memory', 'step', 'locked')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Threads against workers for loading images.')
    parser.add_argument('--counts', type=int, nargs='+', default=[1, 2, 4, 8], help='threads or workers')
    parser.add_argument('--images', type=int, default=40, help='files (default: 40)')
    parser.add_argument('--seconds', type=float, default=5, help='time for each rate (default: 5)')
    parser.add_argument('--rounds', type=int, default=3, help='rounds, of which each row has the median (default: 3)')
    parser.add_argument('--out', type=Path, help='json file to write, and a markdown table beside it')
    parser.add_argument('--only', nargs=3, metavar=('KIND', 'COUNT', 'FOLDER'), help=argparse.SUPPRESS)
    return parser.parse_args()


class Endless(Dataset):
    """A dataset of files, repeated without end."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.dataset[index % len(self.dataset)]['inputs'])


class Batches:
    """The indices of one batch after another."""

    def __iter__(self) -> Iterator[list[int]]:
        start = 0
        while True:
            yield list(range(start, start + BATCH))
            start += BATCH


class ThreadLoader:
    """Batches in order, each loaded by one of some threads."""

    def __init__(self, dataset: Dataset, threads: int) -> None:
        self.dataset, self.threads = dataset, threads

    def __iter__(self) -> Iterator[dict]:
        pool = ThreadPoolExecutor(self.threads)
        waiting: deque[Future] = deque()
        try:
            for indices in Batches():
                waiting.append(pool.submit(self._load, indices))
                if len(waiting) >= AHEAD * self.threads:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _load(self, indices: list[int]) -> dict:
        return default_collate([self.dataset[i] for i in indices])


def make_loader(kind: str, count: int, dataset: Dataset) -> Any:
    if kind == 'threads':
        return ThreadLoader(dataset, count)
    return DataLoader(
        dataset, batch_sampler=Batches(), num_workers=count, collate_fn=default_collate, prefetch_factor=AHEAD
    )


def shared_memory() -> float:
    """Return the megabytes of this process and of its workers, each page in equal shares."""
    processes = [os.getpid(), *(process.pid or 0 for process in multiprocessing.active_children())]
    return sum(megabytes(process, 'Pss') for process in processes)


def python_work(loops: int) -> float:
    """Return the seconds of some additions in Python."""
    start, total = time.perf_counter(), 0
    for i in range(loops):
        total += i
    return time.perf_counter() - start


def processor_time() -> float:
    """Return the processor seconds of this process and of its workers."""
    ticks = 0
    for process in multiprocessing.active_children():
        fields = Path(f'/proc/{process.pid}/stat').read_text().rpartition(')')[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf('SC_CLK_TCK')


class Clock:
    """Adds up the processor time of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable) -> Callable:
        """Return a function that does the same, and whose time counts."""

        def call(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - start

        return call


class TimedKernels:
    """The kernels of the views, whose time counts."""

    def __init__(self, kernels: Any, clock: Clock) -> None:
        self.kernels, self.clock = kernels, clock

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.kernels, name)
        return self.clock.timed(value) if callable(value) else value


def locked_share(dataset: Dataset, batches: int = 20) -> float:
    """Return the share of the processor time in which a thread that loads batches may hold the lock of Python.

    The decoder and the kernels of the views release it; all else is taken to hold it.
    """
    clock = Clock()
    decode, kernels = cv2.imdecode, image_ops.kernels
    cv2.imdecode, image_ops.kernels = clock.timed(decode), TimedKernels(kernels, clock)  # type: ignore[assignment]
    try:
        start = time.thread_time()
        for _ in range(batches):
            default_collate([dataset[i] for i in range(BATCH)])
        return 1 - clock.seconds / (time.thread_time() - start)
    finally:
        cv2.imdecode, image_ops.kernels = decode, kernels


def measure(kind: str, count: int, folder: str, seconds: float) -> dict[str, Any]:
    """Return the figures of a row."""
    dataset = Endless(our_dataset(Path(folder), 'BYOL', on_device=False))
    default_collate([dataset[i] for i in range(BATCH)])  # loads compiled code, as a worker inherits it
    locked = locked_share(dataset)
    loops = round(1e6 * PYTHON_STEP / min(python_work(1_000_000) for _ in range(5)))
    before, start = shared_memory(), time.perf_counter()
    batches = iter(make_loader(kind, count, dataset))
    next(batches)
    first = time.perf_counter() - start
    for _ in range(AHEAD * count):  # those that were loaded while nobody waited
        next(batches)
    start, used, loaded = time.perf_counter(), processor_time(), 0
    while time.perf_counter() < start + seconds:
        next(batches)
        loaded += 1
    rate = loaded * BATCH * VIEWS / (time.perf_counter() - start)
    per_second = loaded * BATCH * VIEWS / (processor_time() - used)
    memory = shared_memory() - before
    steps = []
    for _ in range(round(seconds / PYTHON_STEP / 4)):
        next(batches)
        steps.append(python_work(loops))
    figures = dict(rate=rate, per_second=per_second, first=first, memory=memory, step=float(np.median(steps)))
    return dict(kind=kind, count=count, **figures, locked=locked)


def growth(rows: list[dict]) -> list[str]:
    """Return a line per kind with what one more thread or worker costs, and one with the bound on threads."""
    lines = []
    for kind in KINDS:
        part = [row for row in rows if row['kind'] == kind]
        counts = [row['count'] for row in part]
        if len(counts) > 1:
            memory, _ = np.polyfit(counts, [row['memory'] for row in part], 1)
            first, _ = np.polyfit(counts, [row['first'] for row in part], 1)
            lines.append(f'- each of the {kind} adds {memory:.0f} MB, and {1000 * first:.0f} ms to the first batch')
    locked = float(np.median([row['locked'] for row in rows]))
    lines.append(
        f'- {100 * locked:.0f} % of the time of a thread may hold the lock of Python: on any number of cores, threads '
        f'load at most {1 / locked:.1f} times what one loads'
    )
    return lines


def main() -> None:
    args = parse_args()
    if args.only:
        init_default_scope('mmpretrain')
        cv2.setNumThreads(0)
        torch.set_num_threads(1)
        kind, count, folder = args.only
        print(json.dumps(measure(kind, int(count), folder, args.seconds)), flush=True)
        os._exit(0)  # without the batches ahead
    described: dict[str, Any] = provenance.record()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), args.images, 90)
        every = [one_row(kind, count, folder, args.seconds)
                 for _ in range(args.rounds) for count in args.counts for kind in KINDS]  # fmt: skip
    for kind in KINDS:
        for count in args.counts:
            same = [row for row in every if (row['kind'], row['count']) == (kind, count)]
            numbers = {key: float(np.median([row[key] for row in same])) for key in FIGURES}
            rows.append(dict(kind=kind, count=count, **numbers))
    text = markdown(rows, described)
    print(text)
    if args.out:
        args.out.write_text(json.dumps(dict(described, rows=rows, rounds=every), indent=2) + '\n')
        args.out.with_suffix('.md').write_text(text)


def one_row(kind: str, count: int, folder: str, seconds: float) -> dict[str, Any]:
    command = [sys.executable, __file__, '--only', kind, str(count), folder, '--seconds', str(seconds)]
    row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])
    print(json.dumps(row), flush=True)
    return row


def markdown(rows: list[dict], described: dict) -> str:
    heads = [
        '',
        'number',
        'views/s',
        'views per processor second',
        'ms to the first batch',
        'MB',
        f'ms for {1000 * PYTHON_STEP:.0f} ms of Python',
    ]
    lines = ['# Threads and workers', '', '| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|']
    lines += [
        f'| {row["kind"]} | {row["count"]} | {row["rate"]:,.0f} | {row["per_second"]:,.0f} | '
        f'{1000 * row["first"]:.0f} | {row["memory"]:.0f} | '
        f'{1000 * row["step"]:.1f} |'
        for row in rows
    ]
    explained = [paragraph.replace('\n', ' ') for paragraph in (__doc__ or '').split('\n\n')[1:3]]
    lines += ['', explained[0], '', explained[1], '', *growth(rows), '']
    return '\n'.join([*lines, *(f'- {key}: {value}' for key, value in described.items())]) + '\n'


if __name__ == '__main__':
    main()

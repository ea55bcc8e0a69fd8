"""Progress over the whole list, as a live table on a terminal and as plain lines elsewhere."""

import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .progress import duration
from .scheduler import Job


def time_left(jobs: Sequence[Job], slots: int) -> float | None:
    """Seconds until all jobs are over; None while no training has told or shown how long it takes.

    A waiting run is taken to last as long as its row's finished runs, or else as the average training.
    """
    known: dict[str, list[float]] = defaultdict(list)
    left = 0.0
    for job in jobs:
        if job.run.row.command:
            continue
        if job.status == 'done' and job.run.seconds():
            known[job.run.row.name].append(job.run.seconds())
        if job.status == 'running':
            progress = job.progress()
            if progress is not None and progress.eta is not None:
                # A resumed run's time before is not in `started`, so this is at most its length.
                known[job.run.row.name].append(time.time() - job.started + progress.eta)
    lengths = {name: fmean(values) for name, values in known.items()}
    if not lengths:
        return None
    average = fmean(lengths.values())
    for job in jobs:
        length = 0.0 if job.run.row.command else lengths.get(job.run.row.name, average)
        if job.status == 'waiting':
            left += length
        elif job.status == 'running':
            progress = job.progress()
            eta = progress.eta if progress is not None else None
            left += eta if eta is not None else max(0.0, length - (time.time() - job.started))
    return left / max(1, slots)


def _counts(jobs: Sequence[Job]) -> str:
    failed = sum(job.status == 'failed' for job in jobs)
    done = sum(job.status == 'done' for job in jobs)
    return f'{done}/{len(jobs)} runs done' + (f', {failed} failed' if failed else '')


def _where(job: Job) -> str:
    progress = job.progress()
    if progress is None:
        return 'starting' if job.step == 'train' else job.step
    return f'{progress.position}, {duration(progress.eta)} left'


class PlainDisplay:
    """Lines; one now and then while nothing happens.

    Args:
        slots: How many runs go at once.
        every: Seconds between lines.
    """

    def __init__(self, slots: int, every: float = 60.0) -> None:
        self.slots = slots
        self.every = every
        self._last = time.monotonic()

    def __enter__(self) -> 'PlainDisplay':
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def event(self, text: str) -> None:
        print(f'[{time.strftime("%H:%M:%S")}] {text}', flush=True)

    def update(self, jobs: Sequence[Job]) -> None:
        if time.monotonic() - self._last < self.every:
            return
        self._last = time.monotonic()
        running = '; '.join(f'{job.run}: {_where(job)}' for job in jobs if job.status == 'running')
        self.event(f'{_counts(jobs)}, about {duration(time_left(jobs, self.slots))} left | {running}')


class LiveDisplay:
    """A table of what is running, with a line for the whole list; events scroll by above it.

    Args:
        slots: How many runs go at once.
        console: Where to draw.
    """

    def __init__(self, slots: int, console: Console) -> None:
        self.slots = slots
        self.console = console
        # No refresh thread: subprocesses are forked from this one.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> 'LiveDisplay':
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def event(self, text: str) -> None:
        self.console.print(f'[{time.strftime("%H:%M:%S")}] {text}', markup=False, highlight=False)

    def update(self, jobs: Sequence[Job]) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for job in jobs:
            if job.status != 'running':
                continue
            progress = job.progress()
            fraction = progress.fraction if progress and progress.fraction is not None else 0.0
            filled = round(20 * fraction)
            bar = Text('━' * filled, 'green') + Text('━' * (20 - filled), 'bright_black')
            table.add_row(Text(str(job.run)), bar, Text(_where(job)))
        head = Text(f'{_counts(jobs)}, about {duration(time_left(jobs, self.slots))} left', 'bold')
        self._live.update(Group(head, table), refresh=True)


def make_display(slots: int) -> PlainDisplay | LiveDisplay:
    """Live on a terminal, plain elsewhere."""
    return LiveDisplay(slots, Console()) if sys.stdout.isatty() else PlainDisplay(slots)

"""Progress over the whole list of runs, as a live table on a terminal and as plain lines elsewhere."""

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
from .scheduler import ScheduledRun

_BAR = 20  # characters of a progress bar


def time_left(jobs: Sequence[ScheduledRun], slots: int) -> float | None:
    """Estimate the seconds until all runs are over; None until the length of any training is known.

    A waiting run is assumed to last as long as the finished runs of its row, or else as the average training.
    """
    lengths = _lengths(jobs)
    if not lengths:
        return None
    average = fmean(lengths.values())
    left = 0.0
    for job in jobs:
        length = 0.0 if job.run.row.command else lengths.get(job.run.row.name, average)
        if job.status == 'waiting':
            left += length
        elif job.status == 'running':
            eta = _eta(job)
            left += eta if eta is not None else max(0.0, length - (time.time() - job.start_time))
    return left / max(1, slots)


def _lengths(jobs: Sequence[ScheduledRun]) -> dict[str, float]:
    """Return the seconds per training, where they are known: row → mean over its runs."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        if job.run.row.command:
            continue
        if job.status == 'done' and job.run.seconds():
            seconds[job.run.row.name].append(job.run.seconds())
        eta = _eta(job)
        if eta is not None:
            # The time before a resume is not counted, so this is at most the training's length.
            seconds[job.run.row.name].append(time.time() - job.start_time + eta)
    return {name: fmean(values) for name, values in seconds.items()}


def _eta(job: ScheduledRun) -> float | None:
    progress = job.progress()
    return None if progress is None else progress.eta


def _counts(jobs: Sequence[ScheduledRun]) -> str:
    failed = sum(job.status == 'failed' for job in jobs)
    done = sum(job.status == 'done' for job in jobs)
    return f'{done}/{len(jobs)} runs done' + (f', {failed} failed' if failed else '')


def _position(job: ScheduledRun) -> str:
    progress = job.progress()
    if progress is None:
        return 'starting' if job.step == 'train' else job.step
    return f'{progress.position}, {duration(progress.eta)} left'


class PlainDisplay:
    """Prints events as lines, and a line of progress at intervals.

    Args:
        slots: Number of runs at a time.
        every: Seconds between lines of progress.
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
        """Print an event."""
        print(f'[{time.strftime("%H:%M:%S")}] {text}', flush=True)

    def update(self, jobs: Sequence[ScheduledRun]) -> None:
        """Print the progress if ``every`` seconds have passed since it was last printed."""
        if time.monotonic() - self._last < self.every:
            return
        self._last = time.monotonic()
        running = '; '.join(f'{job.run}: {_position(job)}' for job in jobs if job.status == 'running')
        self.event(f'{_counts(jobs)}, about {duration(time_left(jobs, self.slots))} left | {running}')


class LiveDisplay:
    """Draws a table of the running trainings, with a line for the whole list; events scroll by above it.

    Args:
        slots: Number of runs at a time.
        console: Where to draw.
    """

    def __init__(self, slots: int, console: Console) -> None:
        self.slots = slots
        self.console = console
        # There is no refresh thread, because this process forks the subprocesses.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> 'LiveDisplay':
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def event(self, text: str) -> None:
        """Print an event above the table."""
        self.console.print(f'[{time.strftime("%H:%M:%S")}] {text}', markup=False, highlight=False)

    def update(self, jobs: Sequence[ScheduledRun]) -> None:
        """Redraw the table."""
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for job in jobs:
            if job.status != 'running':
                continue
            progress = job.progress()
            fraction = progress.fraction if progress and progress.fraction is not None else 0.0
            full = round(_BAR * fraction)
            bar = Text('━' * full, 'green') + Text('━' * (_BAR - full), 'bright_black')
            table.add_row(Text(str(job.run)), bar, Text(_position(job)))
        head = Text(f'{_counts(jobs)}, about {duration(time_left(jobs, self.slots))} left', 'bold')
        self._live.update(Group(head, table), refresh=True)


def make_display(slots: int) -> PlainDisplay | LiveDisplay:
    """Return a live display on a terminal, a plain one elsewhere."""
    return LiveDisplay(slots, Console()) if sys.stdout.isatty() else PlainDisplay(slots)

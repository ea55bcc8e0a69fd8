"""The progress of a training: a live region in a terminal, lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from lewel_plugins.planning.findings import gigabytes, plural
from lewel_plugins.running.progress_file import Progress, read_progress

_EVERY = 60.0  # seconds between lines, if epochs are shorter
_WARNING = ' - WARNING - '
# The warnings of this package's hooks. Those of libraries are for developers, and stay in the log. In each training,
# mmengine warns of its own calls that they are deprecated; these are not even counted.
_SHOWN = ('Broken image', 'COLLAPSE', 'The embeddings', 'RepresentationMonitorHook', 'SMoG')
_NOT_COUNTED = 'will be deprecated in future'
_RISES = 1.05  # a measure that has grown by this factor is rising
# Plain words for the measures, and how they are shown. The names are those of the log.
_SPREAD, _RANK, _VIEW = 'std', 'representation/rank_me', 'finds_view/held_out'
_KNN, _PIXELS = 'knn/top1_k20', 'knn/pixels_top1_k20'


class Display:
    """Shows a training as it runs; the base class shows nothing.

    Args:
        folder: Its folder.
        title: Method, backbone, images, device, folder, in one line.
        directions: Largest possible number of directions, the width of the backbone.
    """

    def __init__(self, folder: Path, title: str, directions: int) -> None:
        self.folder, self.title, self.directions = folder, title, directions
        self._first: dict[str, float] = {}
        self._log_end = 0
        self.hidden_warnings = 0

    def __enter__(self) -> 'Display':
        log = self.folder / 'train.log'
        self._log_end = log.stat().st_size if log.is_file() else 0  # what earlier starts have logged is old
        self._since = time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def update(self) -> None:
        """Show the present state."""

    def event(self, text: str) -> None:
        """Show something that has happened."""

    def _progress(self) -> Progress | None:
        """Return what the training has written since this start; None before the first."""
        progress = read_progress(self.folder)
        if progress is None or progress.time < self._since:
            return None
        for name, value in progress.scalars.items():
            self._first.setdefault(name, value)
        return progress

    def _hidden(self) -> str:
        """Return how many warnings were not shown; empty if none."""
        return f'{plural(self.hidden_warnings, "warning")} in train.log' if self.hidden_warnings else ''

    def _warnings(self) -> list[str]:
        """Return the warnings for the user that the log has got since the last call, and count the others."""
        try:
            with (self.folder / 'train.log').open('rb') as log:
                log.seek(self._log_end)
                content = log.read()
        except OSError:
            return []
        whole = content[: content.rfind(b'\n') + 1]
        self._log_end += len(whole)
        lines = whole.decode(errors='replace').splitlines()
        texts = [line.split(_WARNING, 1)[1].strip() for line in lines if _WARNING in line]
        shown = [text for text in texts if text.startswith(_SHOWN)]
        self.hidden_warnings += sum(_NOT_COUNTED not in text for text in texts) - len(shown)
        return shown


class Lines(Display):
    """One line per epoch or minute, whichever is rarer, and per event; no escape codes.

    Args:
        folder: Folder of the training.
        title: Method, backbone, images, device, folder, in one line.
        directions: Largest possible number of directions.
        say: Is called with each line.
    """

    def __init__(self, folder: Path, title: str, directions: int, say: Callable[[str], None]) -> None:
        super().__init__(folder, title, directions)
        self.say = say
        self._last_time, self._last_epoch = 0.0, 0

    def __enter__(self) -> 'Display':
        self.say(self.title)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        progress = self._progress()
        if progress is not None:
            self.say(f'{_clock()} {_line(progress)}')
        if hidden := self._hidden():
            self.event(hidden)

    def update(self) -> None:
        """Write a line if it is time for one."""
        for text in self._warnings():
            self.event(f'warning: {text}')
        progress = self._progress()
        now = time.monotonic()
        if progress is None or progress.epoch == self._last_epoch or now - self._last_time < _EVERY:
            return
        self._last_time, self._last_epoch = now, progress.epoch
        self.say(f'{_clock()} {_line(progress)}')

    def event(self, text: str) -> None:
        """Write a line about something that has happened."""
        self.say(f'{_clock()} {text}')


class Live(Display):
    """A region of a terminal that is drawn anew twice per second, with events above it."""

    def __enter__(self) -> 'Display':
        from rich.console import Console
        from rich.live import Live as Region

        self._console = Console(file=sys.stdout, highlight=False)
        self._region = Region(console=self._console, auto_refresh=False, transient=True)
        self._region.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self._region.__exit__(*error)
        if hidden := self._hidden():
            self.event(hidden)

    def update(self) -> None:
        """Draw the region."""
        for text in self._warnings():
            self.event(f'warning: {text}')
        self._region.update(self._render(), refresh=True)

    def event(self, text: str) -> None:
        """Write a line above the region."""
        self._console.print(f'{_clock()} {text}', markup=False)

    def _render(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        progress = self._progress()
        if progress is None:
            return Group(Text(self.title, style='bold'), Text('  starting …'))
        share = progress.step / max(1, progress.steps)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(f'  {_position(progress)}'),
            ProgressBar(total=1.0, completed=share, width=max(10, min(50, self._console.width - 60))),
            Text(f'{share:4.0%}'),
            Text(_remaining(progress.seconds_left)),
        )
        lines = [_speed(progress, self.folder), measures(progress.scalars, self._first, self.directions)]
        return Group(Text(self.title, style='bold'), bar, *(Text(f'  {line}') for line in lines if line))


def make_display(folder: Path, title: str, directions: int, say: Callable[[str], None]) -> Display:
    """Return the display that suits where the output goes.

    Args:
        folder: Folder of the training.
        title: Method, backbone, images, device, folder, in one line.
        directions: Largest possible number of directions.
        say: Is called with each line; a live region is drawn only if it is ``print``.
    """
    if say is print and sys.stdout.isatty() and os.environ.get('TERM') != 'dumb':
        return Live(folder, title, directions)
    return Lines(folder, title, directions, say)


def measures(now: Any, first: Any, directions: int) -> str:
    """Return the measures of the monitors, in plain words."""
    parts = []
    if _SPREAD in now:
        parts.append(f'spread {now[_SPREAD]:.2f}')
    if _RANK in now:
        trend = ' (rising)' if now[_RANK] > _RISES * first.get(_RANK, now[_RANK]) else ''
        parts.append(f'directions in use {now[_RANK]:.0f} of {directions}{trend}')
    view = now.get(_VIEW, now.get('finds_view/train'))
    if view is not None:
        parts.append(f'finds its other view {view:.0f}%')
    if _KNN in now:
        pixels = f' (pixels {now[_PIXELS]:.1f}%)' if _PIXELS in now else ''
        parts.append(f'20-NN {now[_KNN]:.1f}%{pixels}')
    return '   '.join(parts)


def _position(progress: Progress) -> str:
    if progress.epochs is None:
        return f'step {progress.step:,} of {progress.steps:,}'
    text = f'epoch {progress.epoch:,} of {progress.epochs:,}'
    return f'{text}, validating' if progress.stage == 'validating' else text


def _speed(progress: Progress, folder: Path) -> str:
    parts = []
    if 'loss' in progress.scalars:
        parts.append(f'loss {progress.scalars["loss"]:.4g}')
    if progress.images_per_second is not None:
        parts.append(f'{progress.images_per_second:,.0f} images/s')
    if progress.waiting is not None:
        parts.append(f'waiting for data {progress.waiting:.0%}')
    if progress.memory is not None:
        used, total = progress.memory
        parts.append(f'memory {used / 1e9:.1f} of {gigabytes(total)}')
    checkpoint = folder / 'last_checkpoint'
    if checkpoint.is_file():
        parts.append(f'checkpoint {_ago(time.time() - checkpoint.stat().st_mtime)}')
    return '   '.join(parts)


def _line(progress: Progress) -> str:
    parts = [_position(progress).replace(' of ', '/', 1), f'step {progress.step:,}/{progress.steps:,}']
    if 'loss' in progress.scalars:
        parts.append(f'loss {progress.scalars["loss"]:.4g}')
    if progress.images_per_second is not None:
        parts.append(f'{progress.images_per_second:,.0f} img/s')
    if progress.waiting is not None:
        parts.append(f'wait {progress.waiting:.0%}')
    parts.append(f'eta {"–" if progress.seconds_left is None else _short(progress.seconds_left)}')
    return ' '.join(parts)


def _remaining(seconds: float | None) -> str:
    if seconds is None:
        return '– left'
    end = datetime.now() + timedelta(seconds=seconds)
    day = '' if end.date() == datetime.now().date() else f'{end:%a} '
    return f'{duration(seconds)} left, done at {day}{end:%H:%M}'


def duration(seconds: float) -> str:
    """Format a time as ``3 days 4 h``, ``2 h 10 min``, ``41 min`` or ``12 s``."""
    minutes = round(seconds / 60)
    if minutes >= 48 * 60:
        hours = round(seconds / 3600)
        return f'{hours // 24} days {hours % 24} h'
    if minutes >= 60:
        return f'{minutes // 60} h {minutes % 60:02d} min'
    return f'{minutes} min' if seconds >= 100 else f'{seconds:.0f} s'


def _short(seconds: float) -> str:
    return duration(seconds).replace('min', 'm').replace(' ', '')


def _ago(seconds: float) -> str:
    return 'just now' if seconds < 60 else f'{duration(seconds)} ago'


def _clock() -> str:
    return f'{datetime.now():%H:%M:%S}'

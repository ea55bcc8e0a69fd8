"""How far a running training is, read from its log."""

import re
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r'(?:Epoch|Iter)\(train\)\s+(?:\[\s*(\d+)\])?\[\s*(\d+)/(\d+)\]')
_ETA = re.compile(r'eta: (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)')
_TAIL = 16384  # bytes; longer than any stretch without a line of training, validation included


class Progress(NamedTuple):
    """Position in the training.

    Args:
        position: As text, such as ``epoch 3/20, 10/62``.
        fraction: In [0, 1]; None if the length is unknown.
        eta: Remaining seconds by mmengine's estimate; None before the first.
    """

    position: str
    fraction: float | None
    eta: float | None


def read_progress(log: Path, total: int) -> Progress | None:
    """Read the progress from the last line of training in a log of mmengine; None before the first line.

    Args:
        log: The log.
        total: Number of epochs if the training runs by epoch; unused otherwise.
    """
    line = _last_line(log)
    match = _LINE.search(line)
    if not match:
        return None
    epoch, i, n = (int(group) if group else 0 for group in match.groups())
    eta = _eta(line)
    if epoch:
        fraction = (epoch - 1 + i / n) / total if total else None
        return Progress(f'epoch {epoch}/{total or "?"}, {i}/{n}', fraction, eta)
    return Progress(f'{i}/{n}', i / n, eta)


def _last_line(log: Path) -> str:
    try:
        with log.open('rb') as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            text = file.read().decode(errors='replace')
    except OSError:
        return ''
    return next((line for line in reversed(text.splitlines()) if _LINE.search(line)), '')


def _eta(line: str) -> float | None:
    match = _ETA.search(line)
    if not match:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return 86400.0 * days + 3600 * hours + 60 * minutes + seconds


def duration(seconds: float | None) -> str:
    """Format a duration as ``1 h 05 min``, ``2 min 03 s`` or ``12 s``; ``?`` for None."""
    if seconds is None:
        return '?'
    whole = round(seconds)
    if whole >= 3600:
        return f'{whole // 3600} h {whole % 3600 // 60:02d} min'
    if whole >= 60:
        return f'{whole // 60} min {whole % 60:02d} s'
    return f'{whole} s'

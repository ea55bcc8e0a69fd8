"""What a user should know about a folder before the start, in sentences."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lewel_plugins.errors import SetupError

_Z = 1.96  # quantile of a 95% interval


@dataclass(frozen=True)
class Finding:
    """Something that a user should know.

    Args:
        level: ``error`` if a training cannot start, ``warning`` if its result may suffer, otherwise ``note``.
        code: What it is about, in one word, the same in every version.
        text: One sentence.
        files: The files that it is about.
    """

    level: Literal['error', 'warning', 'note']
    code: str
    text: str
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f'{self.level}: {self.text}'


def refuse_errors(findings: Sequence[Finding]) -> None:
    """Refuse to start if there is an error.

    Raises:
        SetupError: With the text of the first error.
    """
    for finding in findings:
        if finding.level == 'error':
            raise SetupError(finding.text)


def show(path: str | os.PathLike) -> str:
    """Return a path as one line that every terminal can print; a name may hold a line break or undecodable bytes."""
    text = os.fspath(path)
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


def plural(count: int, noun: str, nouns: str = '') -> str:
    """Return a number and its noun, as in ``2 folders``."""
    return f'{count:,} {noun if count == 1 else nouns or noun + "s"}'


def percent(share: float) -> str:
    """Return a share in percent, with a decimal below 10%."""
    return f'{100 * share:.1f}%' if 0 < share < 0.1 else f'{100 * share:.0f}%'


def gigabytes(count: float) -> str:
    """Return a number of bytes in GB, of 10⁹ bytes."""
    return f'{count / 1e9:.1f} GB'


def among(tried: int, total: int) -> str:
    """Return what a count refers to: all files, or those of a draw."""
    return f'{total:,} files' if tried >= total else f'{tried:,} files tried'


def wilson_interval(count: int, tried: int, total: int) -> tuple[float, float]:
    """Return the 95% interval of a share, by Wilson's score, or the share itself if all were tried.

    Args:
        count: How many of the tried ones are.
        tried: How many were drawn and tried.
        total: How many there are.
    """
    if not tried:
        return 0.0, 1.0
    share = count / tried
    if tried >= total:
        return share, share
    center = share + _Z**2 / (2 * tried)
    half = _Z * math.sqrt(share * (1 - share) / tried + _Z**2 / (4 * tried**2))
    return max(0.0, (center - half) / (1 + _Z**2 / tried)), min(1.0, (center + half) / (1 + _Z**2 / tried))

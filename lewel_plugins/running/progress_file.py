"""How far a training is, as it writes itself into its work dir."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lewel_plugins.files import read_json

PROGRESS = 'progress.json'


@dataclass(frozen=True)
class Progress:
    """The state of a training at a moment.

    Args:
        stage: ``starting``, ``training``, ``validating`` or ``finished``.
        time: When it was written, in seconds since the epoch of Unix.
        epoch: The present epoch, from 1.
        epochs: All epochs; None if it trains by iterations.
        step: Steps done.
        steps: All steps.
        images_per_second: Over the last 50 steps, on all ranks; None before the first.
        waiting: Share of the time that was spent waiting for images, over the last 50 steps; None before the first.
        seconds_left: Estimate from the last 50 steps and the last validation; None before there are 20 steps.
        memory: Bytes of a GPU's memory that were needed at most, and all; None on a CPU.
        scalars: Last value of each scalar that was logged.
    """

    stage: str
    time: float
    epoch: int
    epochs: int | None
    step: int
    steps: int
    images_per_second: float | None = None
    waiting: float | None = None
    seconds_left: float | None = None
    memory: tuple[int, int] | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)


def read_progress(work_dir: str | Path) -> Progress | None:
    """Return the state that a training has written last; None before the first."""
    content: Any = read_json(Path(work_dir) / PROGRESS)
    if not isinstance(content, dict):
        return None
    try:
        return Progress(**content)
    except TypeError:  # another version has written it
        return None

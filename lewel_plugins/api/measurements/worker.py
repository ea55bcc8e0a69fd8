"""The program of a process that measures: ``python -m lewel_plugins.api.measurements.worker FOLDER``.

Reads task and config from the folder, and writes the result there.
"""

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import mmengine.config.config
import mmengine.runner.runner
from mmengine.config import Config

from lewel_plugins.checkpoints import confine_torch_load
from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.running.lost_workers import lost_worker

from .apart import RESULT, TASK, read_config


def run_task(name: str, config: Config, folder: Path, **arguments: Any) -> dict[str, Any]:
    """Run a measurement.

    Args:
        name: ``step``, ``loader`` or ``memory``.
        config: Config of the training.
        folder: Folder for what it writes. A result that is not complete counts if the time is too short.
        arguments: See the function of that name.
    """
    if name == 'step':
        from .timed_steps import time_training

        return time_training(
            config, str(folder / 'work'), report=lambda result: write_json(folder / RESULT, result), **arguments
        )
    if name == 'loader':
        from .timed_loader import time_loader

        return time_loader(config, **arguments)
    from .memory import fake_memory

    return fake_memory(config, **arguments)


def _end_with_parent() -> None:
    # Returns when the process at the other end is gone. sys.stdin has a lock, which workers would inherit.
    os.read(0, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _unformatted(text: str, **_: Any) -> tuple[str, bool]:
    """Stand in for the formatter of a config."""
    return text, False


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, SetupError):
        return dict(error=str(error), kind='SetupError')
    place = traceback.extract_tb(error.__traceback__)[-1]
    lines = str(error).splitlines() or [f'{Path(place.filename).name}, line {place.lineno}']
    return dict(error=f'{type(error).__name__}: {lines[0]}', kind=type(error).__name__)


def main() -> None:
    """Run the task of the folder, and write its result or its error."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    confine_torch_load()
    folder = Path(sys.argv[1])
    task = read_json(folder / TASK)
    # What a Runner logs of its config and of compilers takes seconds, and nobody reads it here.
    mmengine.config.config.FormatCode = _unformatted
    mmengine.runner.runner.collect_env = dict
    try:
        result = run_task(task['name'], read_config(folder), folder, **task['arguments'])
    except Exception as error:
        result = _failure(lost_worker(error) or error)
    write_json(folder / RESULT, result)
    sys.stdout.flush()
    os._exit(0)  # without waiting for the workers of loaders, which end with the group


if __name__ == '__main__':
    main()

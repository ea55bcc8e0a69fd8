"""Run a measurement in a process of its own."""

import ast
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lewel_plugins.api.preparation import Preparation
from lewel_plugins.api.run_folder import START
from lewel_plugins.api.training import last_error
from lewel_plugins.files import read_json, write_bytes, write_json, write_text
from lewel_plugins.image_files.path_list import encode_lines, path_line
from lewel_plugins.running.child_processes import python_environment, signal_group, wait_for_end

if TYPE_CHECKING:
    from mmengine.config import Config

PROGRAM = 'lewel_plugins.api.measurements.worker'
TASK, CONFIG, RESULT, LOG = 'task.json', 'config.txt', 'result.json', 'log.txt'
MONITORED_PART = 64  # images of a validation that is timed
_MOST_IMAGES = 20_000  # images of a draw, so that the list is short
_TO_END = 2.0  # seconds that the process is given to write its result


class Unmeasured(RuntimeError):
    """A measurement has no result.

    Args:
        reason: Why, in a few words.
        kind: Name of the error; empty if the time was too short.
    """

    def __init__(self, reason: str, kind: str = '') -> None:
        super().__init__(reason)
        self.kind = kind


def run_apart(
    task: str,
    preparation: Preparation,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Run a task of :mod:`worker` on the config and the images of a preparation, and return its result.

    Args:
        task: Name of the task.
        preparation: The training.
        seconds: Time for all of it, with the start of the process.
        environment: Environment variables to set.
        arguments: Arguments of the task, as json values.

    Raises:
        Unmeasured: It fails, or takes longer.
    """
    with started(task, preparation, seconds, environment, **arguments) as result:
        return result()


@contextmanager
def started(
    task: str,
    preparation: Preparation,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Start a task, and end its process after the block.

    The arguments are those of :func:`run_apart`.

    Yields:
        A function that waits for the result, with the errors of :func:`run_apart`.
    """
    until = time.time() + seconds
    with tempfile.TemporaryDirectory(prefix='lewel-') as name:
        folder = Path(name)
        _write(folder, preparation)
        arguments = dict(arguments, until=until - _TO_END, started=time.time())
        write_json(folder / TASK, dict(name=task, arguments=arguments))
        process = _start(folder, environment or {})
        try:
            yield lambda: _result(process, folder, until, seconds)
        finally:
            _end(process)


def _write(folder: Path, preparation: Preparation) -> None:
    """Write the config, and all that it names, to a folder."""
    from lewel_plugins.planning.compose import Images

    train, _, monitored = preparation.parts()
    if len(train) > _MOST_IMAGES:
        train = sorted(set(train).intersection(preparation.scan.listing.draw(_MOST_IMAGES)))

    def dataset(name: str, paths: Sequence[str]) -> dict[str, Any]:
        lines = (path_line(os.path.relpath(path, preparation.root)) for path in paths)
        write_bytes(folder / name, encode_lines(lines))
        return dict(type='lewel_plugins.ImageList', list_file=str(folder / name), data_root=preparation.root)

    start = folder / START
    if preparation.weights is not None:
        preparation.weights.write(start)
    images = Images(dataset('images.txt', train), dataset('monitored.txt', monitored[:MONITORED_PART]))
    write_text(folder / CONFIG, repr(preparation.config(images, str(start)).to_dict()))


def read_config(folder: Path) -> 'Config':
    """Return the config in the folder of a measurement."""
    from mmengine.config import Config

    return Config(ast.literal_eval((folder / CONFIG).read_text(encoding='utf-8')))


def _start(folder: Path, environment: Mapping[str, str]) -> subprocess.Popen:
    with (folder / LOG).open('wb') as log:
        return subprocess.Popen(
            [sys.executable, '-m', PROGRAM, str(folder)],
            stdin=subprocess.PIPE,  # it ends when this process has ended, in whatever way
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**python_environment(), **environment},
            start_new_session=True,  # a group that can be ended with the workers of a loader
        )


def _result(process: subprocess.Popen, folder: Path, until: float, seconds: float) -> dict[str, Any]:
    """Wait for the result of a process; if the time is too short, one that is not complete counts."""
    is_late = not wait_for_end(process, until - time.time())
    result = read_json(folder / RESULT)
    if result is None:
        late = f'with its start, it takes more than {seconds:.0f} s' if seconds > 0.5 else 'no time is left'
        reason = late if is_late else last_error(folder / LOG)
        raise Unmeasured(reason, '' if is_late else 'Crash')
    if 'error' in result:
        raise Unmeasured(result['error'], result['kind'])
    return result


def _end(process: subprocess.Popen) -> None:
    """End a process and all that it has started."""
    signal_group(process, signal.SIGKILL)
    process.communicate()  # closes the pipe

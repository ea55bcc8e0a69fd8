"""Start ``tools/train.py`` on the config of a run's folder, and stop it such that the same command goes on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.planning.findings import Finding, gigabytes, show
from lewel_plugins.planning.settings import Setting, Settings

from .display import Display
from .run_folder import CONFIG, FINISHED, LOG, SESSIONS, RunFolder

Say = Callable[[str], None]
STOPPED = 75
_POLL = 0.2  # seconds between looks at the process
_RECORD = 10.0  # seconds between records of the time, of which a kill loses so much
_LINES = 30  # at the end of a log, where the error is
_OUT_OF_MEMORY = re.compile(r'OutOfMemoryError|CUDA out of memory')
_EXCEPTION = re.compile(r'[\w.]*(Error|Exception|Interrupt)\b.*')
EXIT_STATUS = {'planned': 0, 'finished': 0, 'stopped': STOPPED, 'interrupted': 130}


class TrainingError(RuntimeError):
    """The training has ended with an error."""


@dataclass(frozen=True)
class Run:
    """A run on the disk.

    Args:
        path: Its folder.
        status: ``finished``; ``stopped`` by a signal or time limit, or ``interrupted`` by Ctrl-C, and the same command
            goes on; ``planned`` after a dry run, which writes nothing.
    """

    path: Path
    status: str

    @property
    def config(self) -> Path:
        """The config, which ``tools/train.py`` takes as well."""
        return self.path / CONFIG

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        from lewel_plugins.running.work_dir import last_checkpoint

        return last_checkpoint(self.path)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the last validation."""
        from lewel_plugins.running.work_dir import last_metrics

        return last_metrics(self.path)


def train(
    folder: RunFolder,
    lock: int,
    say: Say,
    complete: Callable[[], None] = lambda: None,
    display: Display | None = None,
) -> Run:
    """Train, or go on from the last checkpoint.

    Args:
        folder: The folder of the run, with its config and plan.
        lock: Descriptor of its lock, which the training inherits.
        say: Receives each line that the command prints.
        complete: Is called after the training, before the run counts as finished.
        display: Shows the progress.

    Raises:
        TrainingError: The training has failed. Names the error in its log.
    """
    display = display or Display(folder.path, '', 0)
    say(f'training in {folder.path}; log: {folder / LOG}')
    with (folder / LOG).open('ab') as log, _session(folder) as record, display:
        start = log.tell()
        status, is_interrupted = _run(_command(folder), log, lock, display, record)
    if is_interrupted or status in (STOPPED, -signal.SIGTERM):  # the latter before it listens to signals
        say(f'stopped; the same command goes on with {folder.path}')
        return Run(folder.path, 'interrupted' if is_interrupted else 'stopped')
    if status:
        raise TrainingError(_failure(folder, start))
    complete()
    write_json(folder / FINISHED, dict(status='finished'))
    say(f'finished: {folder.path}')
    return Run(folder.path, 'finished')


def _command(folder: RunFolder) -> list[str]:
    from lewel_plugins.planning.compose import configs_folder
    from lewel_plugins.running.commands import python_command

    script = str(configs_folder().parent / 'tools' / 'train.py')
    words = [script, str(folder / CONFIG), '--work-dir', str(folder.path), '--resume']
    return list(python_command(words, folder.record()['plan']['ranks']['value'], sys.executable))


def _run(
    command: Sequence[str], log: BinaryIO, lock: int, display: Display, record: Callable[[], None]
) -> tuple[int, bool]:
    """Run a training; return its exit status, and whether Ctrl-C has ended it.

    The process is in a session of its own, so that Ctrl-C does not end it before it has saved a checkpoint. The first
    one asks it to stop, a second one ends it at once.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
        env=_environment(),
    )
    is_interrupted = False
    with _passing_on(process):
        while True:
            try:
                _watch(process, display, record)
                return process.wait(), is_interrupted
            except KeyboardInterrupt:
                if is_interrupted:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    display.event('stopping after this step; Ctrl-C again ends it at once')
                is_interrupted = True
                process.terminate()
            except BaseException:  # as of a pipe that nobody reads: no training is left behind
                process.terminate()
                process.wait()
                raise


def _watch(process: subprocess.Popen, display: Display, record: Callable[[], None]) -> None:
    """Show the progress, and record the time, until a process ends."""
    recorded = time.monotonic()
    while process.poll() is None:
        display.update()
        if time.monotonic() - recorded > _RECORD:
            recorded = time.monotonic()
            record()
        time.sleep(_POLL)
    display.update()


def _environment() -> dict[str, str]:
    """Return the environment with the path of this package, which need not be installed, for a log without colors."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get('PYTHONPATH')]))
    rest = {name: value for name, value in os.environ.items() if name != 'FORCE_COLOR'}  # as a notebook sets it
    return dict(rest, PYTHONPATH=path, NO_COLOR='1')


@contextmanager
def _session(folder: RunFolder) -> Iterator[Callable[[], None]]:
    """Record this start and its duration in ``sessions.json``; yield what records the time until now."""
    recorded = read_json(folder / SESSIONS)
    sessions = recorded if isinstance(recorded, list) else []
    start = time.monotonic()
    session: dict[str, Any] = dict(start=datetime.now(timezone.utc).isoformat(timespec='seconds'))

    def record() -> None:
        session['seconds'] = round(time.monotonic() - start, 1)
        write_json(folder / SESSIONS, [*sessions, session])

    record()
    try:
        yield record
    finally:
        record()


@contextmanager
def _passing_on(process: subprocess.Popen) -> Iterator[None]:
    """Pass SIGTERM on to a process, which saves a checkpoint then."""
    if threading.current_thread() is not threading.main_thread():  # signals have handlers in no other
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure(folder: RunFolder, start: int) -> str:
    """Return why a training has failed.

    Args:
        folder: The folder of the run.
        start: Where the log of this start begins.
    """
    with (folder / LOG).open('rb') as log:
        log.seek(start)
        text = log.read().decode(errors='replace')
    if _OUT_OF_MEMORY.search(text):
        return _too_little_memory(folder)
    return f'the training failed: {last_error(folder / LOG)}; log: {folder / LOG}'


def _too_little_memory(folder: RunFolder) -> str:
    from lewel_plugins.checkpoints import read_training_state
    from lewel_plugins.running.progress_file import read_progress
    from lewel_plugins.running.work_dir import find_last_checkpoint

    progress = read_progress(folder.path)
    checkpoint = find_last_checkpoint(folder.path)
    step = f'at step {progress.step:,}' if progress is not None else 'before the first step'
    last = 'there is no checkpoint yet'
    if checkpoint is not None:
        last = f'the last checkpoint is at step {read_training_state(checkpoint)["meta"]["iter"]:,}'
    fewer = 'with fewer images per step'
    if 'batch_size' in folder.record()['plan']:
        batch = 3 * folder.record()['plan']['batch_size']['value'] // 4
        fewer = f'with --batch-size {batch // 8 * 8 if batch > 8 else max(2, batch)}'
    return f'out of memory {step}; {last}. Free the GPU and repeat the command, or start anew {fewer} and another --out'


def last_error(log: Path) -> str:
    """Return the line of a log with the reason why a training failed: its last error, or else its last line."""
    lines = log.read_text(encoding='utf-8', errors='replace').splitlines()[-_LINES:]
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line.removeprefix('error: ') for line in lines if line.startswith('error: ')]
    exceptions = [line for line in lines if _EXCEPTION.match(line)]
    return (errors or exceptions or lines or ['(no output)'])[-1]


def check_writable(folder: RunFolder, needed: int) -> None:
    """Refuse a folder that cannot be written to, or whose disk has too little room.

    Args:
        folder: Folder of the run, which need not exist.
        needed: Bytes that the run will write.

    Raises:
        SetupError: It cannot be written to, or has less room.
    """
    existing = next(path for path in [folder.path.absolute(), *folder.path.absolute().parents] if path.exists())
    if not os.access(existing, os.W_OK):
        is_read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
        reason = 'read-only file system' if is_read_only else 'permission denied'
        raise SetupError(f'cannot write to {show(folder.path)}: {reason}')
    status = os.statvfs(existing)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise SetupError(f'this run needs {gigabytes(needed)} in {show(folder.path)}, but {gigabytes(free)} are free')


def count_gpus(gpus: int | str | None) -> int | None:
    """Return the number of GPUs that a user asks for; None for all.

    Raises:
        SetupError: It is neither a number nor ``'all'``.
    """
    if gpus in ('all', None):
        return None
    if isinstance(gpus, int):
        return gpus
    raise SetupError(f"gpus must be a number or 'all', got {gpus!r}")


def print_plan(resolved: Settings, findings: Sequence[Finding], say: Say) -> None:
    """Print every setting with its reason, and what the user should know."""
    for setting in resolved:
        print_setting(setting, say)
    for finding in dict.fromkeys([*findings, *resolved.findings]):
        say(str(finding))


def print_setting(setting: Setting, say: Say) -> None:
    """Print a setting with its reason."""
    say(f'  {setting.name.replace("_", " "):<20} {_shown(setting.value):<14} {setting.reason}')


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return str(len(value))
    return f'{value:.4g}' if isinstance(value, float) else str(value)

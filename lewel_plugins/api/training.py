"""Start ``tools/train.py`` on the config of a run's folder, and stop it such that the same command goes on."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json
from lewel_plugins.planning.arguments import whole_number
from lewel_plugins.planning.devices import ranks_on, visible_only
from lewel_plugins.planning.facts import GPU
from lewel_plugins.planning.findings import Finding, gigabytes, show
from lewel_plugins.planning.settings import Setting, Settings
from lewel_plugins.running.child_processes import has_ended, python_environment, signal_group
from lewel_plugins.running.work_dir_lock import held_lock

from .display import Display
from .run_folder import BACKBONE, CONFIG, FINISHED, LOCK, LOG, PLAN, SESSIONS, RunFolder, reading

if TYPE_CHECKING:
    from lewel_plugins.reporting.verdicts import Verdict

Say = Callable[[str], None]
STOPPED = 75
STOPPING = 'stopping after this step; Ctrl-C again ends it at once'
_POLL = 0.2  # seconds between looks at the process
_RECORD = 10.0  # seconds between records of the time, of which a kill loses so much
_LINES = 30  # at the end of a log, where an exception is
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
        planned: The plan of a dry run.
    """

    path: Path
    status: str
    planned: Settings | None = None

    @property
    def config(self) -> Path:
        """The config, which ``tools/train.py`` takes as well."""
        return self.path / CONFIG

    @property
    def plan(self) -> Settings:
        """Value and reason of each setting: ``run.plan['epochs']``.

        Raises:
            SetupError: There is no plan in the folder that can be read.
        """
        if self.planned is not None:
            return self.planned
        folder = RunFolder(self.path)
        with reading(folder / PLAN):
            return Settings.from_dict(folder.record()['plan'])

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

    @property
    def verdict(self) -> 'Verdict':
        """The gravest verdict of the report, or by the curves alone before there is a report of the last step.

        Raises:
            SetupError: There is no training in the folder.
        """
        from lewel_plugins.reporting.report import main_verdict

        return main_verdict(self.path)

    def backbone(self) -> Any:
        """Return the trained backbone, on the CPU and in eval mode, see :func:`lewel_plugins.load_pretrained`.

        Raises:
            SetupError: The training has not ended.
        """
        file = self.path / BACKBONE
        if not file.is_file():
            raise SetupError(f'{show(file)} does not exist: a pretraining writes it when it ends')
        from lewel_plugins.checkpoints import load_pretrained

        return load_pretrained(file)


def train(
    folder: RunFolder,
    lock: int,
    say: Say,
    complete: Callable[[], None] = lambda: None,
    display: Display | None = None,
    gpus: Sequence[GPU] = (),
    workers: int | None = None,
) -> Run:
    """Train, or go on from the last checkpoint, in a process that ends with this one.

    Args:
        folder: The folder of the run, with its config and plan.
        lock: Descriptor of its lock, which the training inherits.
        say: Receives each line that the command prints.
        complete: Is called after the training, before the run counts as finished.
        display: Shows the progress.
        gpus: GPUs of this start, which alone the training sees; none for the CPU.
        workers: Workers per rank of this start; those of the config by default.

    Raises:
        TrainingError: The training has failed. Names the error in its log.
    """
    display = display or Display(folder.path, '', 0)
    ranks = ranks_on(gpus, folder.planned('ranks'))
    devices = dict(gpus=[gpu.name for gpu in gpus], ranks=ranks)
    say(f'training in {folder.path}; log: {folder / LOG}')
    with (folder / LOG).open('ab') as log, _session(folder, devices) as record, display:
        start = log.tell()
        command = _command(folder, ranks, workers)
        environment = {**visible_only(gpus), **held_lock(folder / LOCK)}
        status, is_interrupted = _run(command, log, lock, display, record, environment, ranks)
    stops = {STOPPED, -signal.SIGTERM}  # the latter before it listens to signals
    if is_interrupted:
        stops |= {0, -signal.SIGKILL}  # the latter by a second Ctrl-C
    if status in stops:
        say(f'stopped; the same command goes on with {folder.path}')
        return Run(folder.path, 'interrupted' if is_interrupted else 'stopped')
    if status:
        raise TrainingError(_failure(folder, start, status))
    complete()
    write_json(folder / FINISHED, dict(status='finished'))
    say(f'finished: {folder.path}')
    return Run(folder.path, 'finished')


def _command(folder: RunFolder, ranks: int, workers: int | None = None) -> list[str]:
    from lewel_plugins.planning.compose import configs_folder
    from lewel_plugins.running.commands import python_command

    script = str(configs_folder().parent / 'tools' / 'train.py')
    words = [script, str(folder / CONFIG), '--work-dir', str(folder.path), '--resume', '--stop-at-eof']
    planned = folder.planned('ranks')
    loader = {}
    if ranks != planned:
        config = folder.config()
        with reading(folder / CONFIG):
            loader['batch_size'] = config.train_dataloader.batch_size * planned // ranks
    if workers is not None:
        loader.update(num_workers=workers, persistent_workers=workers > 0)
    if loader:
        words += ['--cfg-options', *(f'train_dataloader.{name}={value}' for name, value in loader.items())]
    return list(python_command(words, ranks, sys.executable))


def _run(
    command: Sequence[str],
    log: BinaryIO,
    lock: int,
    display: Display,
    record: Callable[[], None],
    environment: Mapping[str, str] = MappingProxyType({}),
    ranks: int = 1,
) -> tuple[int, bool]:
    """Run a training; return its exit status, and whether Ctrl-C has ended it.

    The process is in a session of its own, so that Ctrl-C does not end it before it has saved a checkpoint. The first
    one asks it to stop, a second one ends it at once.

    Its standard input is a pipe, whose other end this process alone holds. All ranks save and stop when it ends, and so
    also if this process is killed. The kernel's signal at the death of a parent would not do: it is sent when the
    *thread* ends that has started the process, as in a notebook, and only to torchrun, not to the ranks.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=(lock,),
        env={**_environment(), **environment},
    )

    def stop(*_: Any) -> None:
        assert process.stdin is not None
        process.stdin.close()
        # torchrun would pass a signal on to the workers of loaders, too, and kill ranks that have not ended after 30 s.
        if ranks == 1:  # and before it watches its input
            process.terminate()

    is_interrupted = False
    with _on_sigterm(stop):
        while True:
            try:
                _watch(process, display, record)
                return process.wait(), is_interrupted
            except KeyboardInterrupt:
                if is_interrupted:
                    signal_group(process, signal.SIGKILL)
                else:
                    display.event(STOPPING)
                is_interrupted = True
                stop()
            except BaseException:  # as of a pipe that nobody reads: no training is left behind
                stop()
                process.wait()
                raise


def _watch(process: subprocess.Popen, display: Display, record: Callable[[], None]) -> None:
    """Show the progress, and record the time, until a process ends."""
    recorded = time.monotonic()
    while not has_ended(process):
        display.update()
        if time.monotonic() - recorded > _RECORD:
            recorded = time.monotonic()
            record()
        time.sleep(_POLL)
    display.update()


def _environment() -> dict[str, str]:
    """Return the environment for a log without colors."""
    rest = {name: value for name, value in python_environment().items() if name != 'FORCE_COLOR'}  # a notebook sets it
    return dict(rest, NO_COLOR='1')


@contextmanager
def _session(folder: RunFolder, devices: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
    """Record this start, its devices and its duration in ``sessions.json``; yield what records the time until now.

    A record that cannot be written, as on a full disk, ends no training: the next one holds all of it.
    """
    recorded = read_json(folder / SESSIONS)
    sessions = recorded if isinstance(recorded, list) else []
    start = time.monotonic()
    session: dict[str, Any] = dict(start=datetime.now(timezone.utc).isoformat(timespec='seconds'), **devices)

    def record() -> None:
        session['seconds'] = round(time.monotonic() - start, 1)
        with suppress(OSError):
            write_json(folder / SESSIONS, [*sessions, session])

    record()
    try:
        yield record
    finally:
        record()


@contextmanager
def _on_sigterm(stop: Callable[..., None]) -> Iterator[None]:
    """Have SIGTERM stop a training."""
    if threading.current_thread() is not threading.main_thread():  # signals have handlers in no other
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def announced_interrupt(say: Say) -> Iterator[None]:
    """Print a line at the first Ctrl-C, for trainings whose display nobody sees."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return

    def announce(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        say(STOPPING)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, announce)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def attempt(work: Callable[[], None], lost: str, again: str, folder: RunFolder, say: Say) -> None:
    """Do what comes after a training; an error is a warning, because the training itself is not lost.

    Args:
        work: The work.
        lost: What there is not after an error, such as ``no report``.
        again: The command that does it again.
        folder: Folder of the run, whose log gets the traceback.
        say: Receives the warning.
    """
    try:
        work()
    except Exception as error:
        reason = (str(error).strip().splitlines() or [''])[0]
        if not isinstance(error, SetupError):
            with (folder / LOG).open('a', encoding='utf-8') as log:
                traceback.print_exc(file=log)
            reason = f'{type(error).__name__}{": " if reason else ""}{reason}; log: {folder / LOG}'
        say(f'warning: {lost}: {reason}; {again} writes it again')


def _failure(folder: RunFolder, start: int, status: int) -> str:
    """Return why a training has failed.

    Args:
        folder: The folder of the run.
        start: Where the log of this start begins.
        status: Exit status of the training.
    """
    if status == -signal.SIGKILL:
        return (
            'the training was killed by SIGKILL, as the system does when main memory is full: use fewer --workers; '
            f'log: {folder / LOG}'
        )
    try:
        text = _text_since(folder / LOG, start)
    except OSError:
        return f'the training failed, and its log {folder / LOG} is gone'
    if _OUT_OF_MEMORY.search(text):
        return _too_little_memory(folder)
    return f'the training failed: {last_error(folder / LOG, start)}; log: {folder / LOG}'


def _text_since(log: Path, start: int) -> str:
    with log.open('rb') as file:
        file.seek(start)
        return file.read().decode(errors='replace')


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
        batch = 3 * folder.planned('batch_size') // 4
        fewer = f'with --batch-size {batch // 8 * 8 if batch > 8 else max(2, batch)}'
    return f'out of memory {step}; {last}. Free the GPU and repeat the command, or start anew {fewer} and another --out'


def last_error(log: Path, start: int = 0) -> str:
    """Return the line of a log with the reason why a training failed: its last error, or else its last line.

    Args:
        log: The log.
        start: Where its part begins that is looked at, in bytes.
    """
    lines = [line.strip() for line in _text_since(log, start).splitlines()]
    # Of several ranks, one may have said why, and the tracebacks of the others follow.
    errors = [line.removeprefix('error: ') for line in lines if line.startswith('error: ')]
    last = [line for line in lines[-_LINES:] if line]
    exceptions = [line for line in last if _EXCEPTION.match(line)]
    return (errors or exceptions or last or ['(no output)'])[-1]


def check_writable(folder: RunFolder, needed: int) -> None:
    """Refuse a folder that cannot be written to, or whose disk has too little room.

    Args:
        folder: Folder of the run, which need not exist.
        needed: Bytes that the run will write.

    Raises:
        SetupError: It cannot be written to, or has less room.
    """
    folder.check_place()
    existing = next(path for path in [folder.path.absolute(), *folder.path.absolute().parents] if path.exists())
    status = os.statvfs(existing)
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise SetupError(f'this run needs {gigabytes(needed)} in {show(folder.path)}, but {gigabytes(free)} are free')


def count_gpus(gpus: int | str | None) -> int | None:
    """Return the number of GPUs that a user asks for; None for all.

    Raises:
        SetupError: It is neither a number nor ``'all'``.
    """
    if gpus is None or (isinstance(gpus, str) and gpus == 'all'):
        return None
    if isinstance(gpus, str):
        raise SetupError(f"--gpus must be a number or 'all', got {gpus!r}")
    return whole_number('--gpus', gpus, 0)


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

"""Turn torch's errors of a worker that has died, or gives no batch, into one line that names the file."""

import multiprocessing
import re
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from lewel_plugins.errors import SetupError

from .loading_record import Loading, loading_now, loading_of

# A batch of 256 images at the bound of LoadRGB, each of which takes 2 s to decode, is ready in time in one worker.
LOADER_TIMEOUT = 600.0
_NAMED = 3  # images in an error
_END = 5.0  # seconds in which a worker that has broken its connection ends
_LOADERS = ('_MultiProcessingDataLoaderIter', '_WatchedIterator')  # classes that read from workers
_KILLED = re.compile(r'DataLoader worker \(pid (\d+)\) is killed by signal: ([^.]*)\.')
_ENDED = re.compile(r'DataLoader worker \(pid (\d+)\) exited unexpectedly with exit code (\d+)')
_GONE = re.compile(r'DataLoader worker \(pid\(s\) (\d+)')
_UNPINNED = re.compile('Pin memory thread exited unexpectedly')
_LATE = re.compile(r'DataLoader timed out after ([\d.]+) seconds')
_NAMES = {signal.strsignal(number): number.name for number in signal.Signals}
# A run goes on with its own list of images, from which no file may be missing; a broken one gives way to another image.
_REPLACE = '; if it is the same image again, replace its file; an empty one is left out'
_REASONS = {
    'SIGKILL': ', as the system does when main memory is full: use fewer workers',
    'SIGBUS': ', as when shared memory (/dev/shm) is full: use fewer workers or smaller batches, or make it larger '
    '(docker run --shm-size)',
}


class LostWorkerError(SetupError):
    """A worker of a data loader has died, or gives no batch.

    Args:
        message: The line for the user.
        hanging: Processes of the workers that do not come back.
    """

    def __init__(self, message: str, hanging: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.hanging = hanging


def with_timeout(loader: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a data loader with a bound on the time without a batch.

    By default it is ten minutes. Without workers there can be none, and torch refuses one.
    """
    timeout = loader.get('timeout', LOADER_TIMEOUT) if loader.get('num_workers', 0) else 0
    return {**loader, 'timeout': timeout}


def lost_worker(error: BaseException) -> LostWorkerError | None:
    """Return the error with the image that a lost worker was loading; None if no worker is lost.

    Args:
        error: Error of torch, or one that it has led to, as torch's handler of SIGCHLD raises it at any place.
    """
    parts = list(_chain(error))
    if not all(isinstance(part, Exception) for part in parts):  # the process is being stopped, and its workers with it
        return None
    texts = [str(part) for part in parts if isinstance(part, RuntimeError)]
    lost = _explained(texts)
    if lost is None and any(isinstance(part, (ConnectionError, EOFError)) for part in parts):
        return _disconnected(parts)
    return lost


def end_hanging(error: LostWorkerError) -> None:
    """End workers that would keep this process from ending.

    One that waits for a dead network disk heeds no other signal than SIGKILL, and Python waits for its children.
    """
    if error.hanging:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would raise an error for them
    for process in multiprocessing.active_children():
        if process.pid in error.hanging:
            process.kill()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _explained(texts: Sequence[str]) -> LostWorkerError | None:
    """Return the error for torch's messages; None if they are about something else."""
    for pattern, explain in (
        (_KILLED, _killed),
        (_ENDED, _ended),
        (_GONE, _gone),
        (_UNPINNED, _unpinned),
        (_LATE, _late),
    ):
        for text in texts:
            if match := pattern.search(text):
                return explain(*match.groups())
    return None


def _disconnected(errors: list[BaseException]) -> LostWorkerError | None:
    """Return the error for a dead worker of a loader that was being read; None if there is none.

    Torch's own error is lost if its handler runs where Python drops errors, as in a callback of a weak reference. The
    next tensor of the worker then ends in an error of its connection.
    """
    for workers in _workers_of(errors):
        try:
            _await_end(workers)
        except RuntimeError as end:  # raised by the handler of torch, which runs here then
            if lost := _explained([str(end)]):
                return lost
        for worker in workers:
            if worker.exitcode and worker.exitcode < 0:
                return _killed(str(worker.pid), signal.Signals(-worker.exitcode).name)
            if worker.exitcode:
                return _ended(str(worker.pid), str(worker.exitcode))
    return None


def _workers_of(errors: Sequence[BaseException]) -> list[list[BaseProcess]]:
    """Return the workers of each loader in whose methods the errors were raised."""
    loaders = {}
    for error in errors:
        trace = error.__traceback__
        while trace is not None:
            loader = trace.tb_frame.f_locals.get('self')
            if type(loader).__name__ in _LOADERS:
                loaders[id(loader)] = loader
            trace = trace.tb_next
    return [getattr(loader, '_workers', []) for loader in loaders.values()]


def _await_end(workers: Sequence[BaseProcess]) -> None:
    """Wait, but not long, for a worker to end: the connection breaks, then the sentinel is ready, then it ends."""
    ended = wait([worker.sentinel for worker in workers], timeout=_END) if workers else []
    for worker in workers:
        if worker.sentinel in ended:
            worker.join(_END)


def _killed(process: str, signal_name: str) -> LostWorkerError:
    name = _NAMES.get(signal_name, signal_name)
    return _dead(process, f'was killed by {name}', _REASONS.get(name, ''))


def _ended(process: str, status: str) -> LostWorkerError:
    return _dead(process, f'has ended with status {status}')


def _gone(process: str) -> LostWorkerError:
    return _dead(process, 'has ended')


def _unpinned() -> LostWorkerError:
    return LostWorkerError(
        'the thread of a data loader that copies batches into pinned memory has ended; its own error is printed above. '
        'It comes from full shared memory (/dev/shm) or too many open files (ulimit -n) as a rule: use fewer workers '
        'or smaller batches, or raise the limit'
    )


def _dead(process: str, what: str, reason: str = '') -> LostWorkerError:
    note = loading_of(int(process))
    if note is None:
        return LostWorkerError(f'a worker of a data loader {what}{reason}; which image it was loading is unknown')
    start = f'worker {note.worker} of a data loader {what}'
    if note.is_over:
        return LostWorkerError(f'{start} after it had loaded {note.image}{reason}')
    return LostWorkerError(f'{start} while it was loading {note.image}{reason}{_REPLACE}')


def _late(seconds: str) -> LostWorkerError:
    start = f'no batch has come from a data loader for {float(seconds):g} s'
    notes = loading_now()
    hanging = [note for note in notes if note.seconds > float(seconds) / 2]
    if hanging:
        named = ', '.join(map(_lasting, hanging[:_NAMED]))
        more = f', and {len(hanging) - _NAMED} more are as late' if len(hanging) > _NAMED else ''
        advice = 'see whether its disk responds, or replace the file; an empty one is left out'
        return LostWorkerError(f'{start}: {named}{more}; {advice}', tuple(note.process for note in hanging))
    if notes:
        return LostWorkerError(f'{start}, though images load: {_lasting(notes[0])}; set a longer timeout of the loader')
    return LostWorkerError(f'{start}; which image it waits for is unknown')


def _lasting(note: Loading) -> str:
    return f'worker {note.worker} has been loading {note.image} for {note.seconds:.0f} s'

"""Decode a draw of the images in processes of their own, which may crash or hang."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from lewel_plugins.image_files.inspection import Inspection
from lewel_plugins.running.child_processes import python_environment

_PROGRAM = 'lewel_plugins.image_files.inspect_files'
_SECONDS_TO_START = 300
_SECONDS_PER_FILE = 60  # the bounds of the decoders allow 2; the rest is for slow disks
_FILES_PER_WORKER = 50  # fewer do not pay for the start of a process


def inspect_files(paths: Sequence[str], deadline: float, workers: int) -> dict[str, Inspection]:
    """Decode files in processes of their own, the first ones if the time is short.

    A file at which a process crashes or hangs is a broken one.

    Args:
        paths: The files, in the order of the draw.
        deadline: Time by ``time.monotonic`` after which no further one is decoded.
        workers: Number of processes; 0 to decode in this one.
    """
    results: dict[str, Inspection] = {}
    if not workers:
        from lewel_plugins.image_files.inspect_files import inspect  # imports OpenCV

        for path in paths:
            if time.monotonic() > deadline:
                break
            results[path] = inspect(path)
        return results
    workers = max(1, min(workers, len(paths) // _FILES_PER_WORKER))
    queue = _Queue(paths, deadline)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(_serve, queue, results) for _ in range(workers)]):
                future.result()
        except BaseException:  # as of Ctrl-C: threads that wait for a process would go on
            queue.stop()
            raise
    return {path: results[path] for path in paths if path in results}


class _Queue:
    """Files that wait for a process, and the processes.

    Args:
        paths: The files.
        deadline: Time after which there are no further ones.
    """

    def __init__(self, paths: Sequence[str], deadline: float) -> None:
        self.deadline = deadline
        self._paths, self._lock = iter(paths), threading.Lock()
        self._processes: list[subprocess.Popen] = []

    def take(self) -> str | None:
        """Return the next file; None if there is no further one, or the time is over."""
        with self._lock:
            return next(self._paths, None) if time.monotonic() < self.deadline else None

    def start(self) -> subprocess.Popen:
        """Return a new process.

        Raises:
            RuntimeError: It does not start.
        """
        process = _start()
        with self._lock:
            self._processes.append(process)
        try:
            _reply(process, time.monotonic() + _SECONDS_TO_START)
        except (TimeoutError, _NoReply):
            _end(process)
            raise RuntimeError(f'the decoder does not start: python -m {_PROGRAM} prints the reason') from None
        return process

    def stop(self) -> None:
        """End all processes, and hand out no further file."""
        with self._lock:
            self.deadline = 0.0
            for process in self._processes:
                process.kill()


def _serve(queue: _Queue, results: dict[str, Inspection]) -> None:
    """Take files from the queue, and have a process inspect them."""
    process = None
    try:
        while (path := queue.take()) is not None:
            process = process or queue.start()
            try:
                results[path] = _ask(process, path, queue.deadline)
            except _NoReply as error:
                _end(process)
                process = None
                if error.reason and queue.deadline:
                    results[path] = Inspection(error.reason)
    finally:
        if process:
            _end(process)


class _NoReply(Exception):
    """A process does not describe a file.

    Args:
        reason: What is wrong with the file; empty if the time for all files is over.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _start() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, '-m', _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders print there
        bufsize=0,
        env=dict(python_environment(), OMP_NUM_THREADS='1'),
        start_new_session=True,  # Ctrl-C reaches only this process, which ends the others
    )


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()  # closes the pipes


def _ask(process: subprocess.Popen, path: str, deadline: float) -> Inspection:
    """Send a file to a process, and return its inspection.

    Raises:
        _NoReply: It crashes, or takes too long.
    """
    assert process.stdin
    end = time.monotonic() + _SECONDS_PER_FILE
    with contextlib.suppress(BrokenPipeError):  # it has ended, which shows in its reply
        process.stdin.write(json.dumps(path).encode() + b'\n')
    try:
        return Inspection(*json.loads(_reply(process, min(end, deadline + 2))))
    except TimeoutError:
        late = time.monotonic() >= end
        raise _NoReply(f'it is not decoded within {_SECONDS_PER_FILE} s' if late else '') from None


def _reply(process: subprocess.Popen, deadline: float) -> bytes:
    """Return the next line that a process writes.

    Raises:
        _NoReply: It has ended.
        TimeoutError: It takes too long.
    """
    assert process.stdout
    reply = b''
    while not reply.endswith(b'\n'):
        if not select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(process.stdout.fileno(), 65536)
        if not part:
            raise _NoReply('the decoder crashes')
        reply += part
    return reply

"""Jobs that are done once and go on after a kill.

Comparisons, evaluations, fine-tunings and the quickstart all run for hours and must survive a kill. They share one
mechanism:

- A job has *inputs*, a dict of json values that names all that shapes its result, such as the digest of a checkpoint,
  a seed and the text of a config.
- A job has one *note*, a json file beside its results: ``{"inputs": …, "about": …, "result": …}``. The note is written
  in one step (:mod:`lewel_plugins.files`). It has a ``result``, which may be null, exactly when the job is
  done. ``about`` holds further facts for the reader, such as the path of the checkpoint, which are not compared.
- A job is done if its note has a result and the same inputs. A caller that keeps results from different inputs in
  different folders just runs the job again otherwise (``Job.is_done`` and ``Job.finish``: the steps of a comparison,
  the protocols of an evaluation, the steps of the quickstart).
- A training that is killed leaves checkpoints, and the same command goes on from them. Its folder must not hold those
  of another job. So the job records its inputs before it starts, and refuses a folder with results from other inputs;
  the error names what differs (``Job.claim``: fine-tunings, linear evaluations, the quickstart's folder).
- Only one process works on a folder at a time (``lock``: the runs of a comparison).

A note without ``inputs`` is from an earlier version, which kept them at the top level. It counts as well.
"""

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lewel_plugins.errors import SetupError
from lewel_plugins.files import read_json, write_json

Changes = dict[str, tuple[Any, Any]]
Describe = Callable[[Changes, Mapping[str, Any]], list[str]]
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_ADVICE = 'give another --work-dir, or remove the folder to start anew'


def digest(*parts: Any) -> str:
    """Return the SHA-256 of json values as 64 hexadecimal digits; what json cannot represent counts by its repr."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


def describe_changes(changes: Changes, about: Mapping[str, Any]) -> list[str]:
    """Describe each input that differs, as in ``epochs 2, not 3``; see :meth:`Job.claim`."""
    return [f'{name} {recorded}, not {value}' for name, (recorded, value) in changes.items()]


class Job:
    """A piece of work that is done once; see the module's docstring.

    Args:
        note: The json file of the job.
        inputs: All that shapes the result, as json values.
        about: Further facts to record, which are not compared.
    """

    def __init__(self, note: Path, inputs: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
        self.note = note
        # Through json, so that a tuple equals the list that is read back.
        self.inputs: dict[str, Any] = json.loads(json.dumps(dict(inputs)))
        self.about = dict(about or {})

    def is_done(self) -> bool:
        """Return whether the job has finished with these inputs."""
        note = self._read()
        return 'result' in note and not self._changes(note)

    def result(self) -> Any:
        """Return the result of a job that is done."""
        return self._read()['result']

    def finish(self, result: Any = None) -> None:
        """Record that the job has succeeded.

        Args:
            result: Json values to keep for :meth:`result`.
        """
        write_json(self.note, dict(inputs=self.inputs, about=self.about, result=result))

    def claim(self, results: Iterable[Path], describe: Describe = describe_changes) -> None:
        """Record the inputs before the work starts, and refuse a folder that holds results from other inputs.

        Args:
            results: Files and folders that the work goes on from. While none of them exists, and the job is not done,
                the note is replaced.
            describe: Describes the differences, given a dict of input → (recorded value, value of this job) and the
                recorded ``about``.

        Raises:
            SetupError: The folder holds results from other inputs, which are named, or from inputs that no note names.
        """
        note = self._read()
        if 'result' not in note and not any(path.exists() for path in results):
            write_json(self.note, dict(inputs=self.inputs, about=self.about))
            return
        if not note:
            raise SetupError(f'{self.note.parent} holds a run that does not record what it started from: {_ADVICE}')
        changes = self._changes(note)
        if changes:
            reasons = describe(changes, note.get('about', note))
            raise SetupError(f'{self.note.parent} holds a run from {", ".join(reasons)}: {_ADVICE}')

    def _read(self) -> dict[str, Any]:
        note = read_json(self.note)
        return note if isinstance(note, dict) else {}

    def _changes(self, note: dict[str, Any]) -> Changes:
        recorded = note.get('inputs', note)
        return {name: (recorded.get(name), value) for name, value in self.inputs.items() if recorded.get(name) != value}


def lock(path: Path, patience: float = 5.0) -> int | None:
    """Lock a file until this process, and all children that inherit the descriptor, have closed it.

    The file holds the number of the process, see :func:`holder`. On a file system without locks nothing is locked.

    Args:
        path: The lock file; created if it is missing.
        patience: Seconds to wait for another process, which may be about to end.

    Returns:
        File descriptor, or None if another process has the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    deadline = time.monotonic() + patience
    while True:
        try:
            with _where_there_are_locks():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f'{os.getpid()}\n'.encode(), 0)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.1)


@contextmanager
def _where_there_are_locks() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def holder(path: Path) -> int | None:
    """Return the number of the process that has locked a file; None if it is unknown here.

    It is so if the process runs on another machine, or has ended and left the lock to a child.

    Args:
        path: The lock file, which :func:`lock` could not lock.
    """
    try:
        number = max(1, int(path.read_text(encoding='ascii')))
        os.kill(number, 0)
    except PermissionError:  # a process of another user
        return number
    except (OSError, ValueError, OverflowError):
        return None
    return number

"""Which image each worker of a data loader is loading, for the error that names it if the worker dies or hangs."""

import mmap
import multiprocessing
import os
import time
import weakref
from dataclasses import dataclass
from typing import Any

from torch.utils.data import get_worker_info

_SLOTS = 1024  # the most workers of a rank, see `planning.request`
_FIELDS = 3  # process, image, time in ns
_records: 'weakref.WeakSet[LoadingRecord]' = weakref.WeakSet()


@dataclass(frozen=True)
class Loading:
    """What a worker has noted last.

    Args:
        process: Its process.
        worker: Its number in its data loader.
        image: The file, or the index in a data set without files.
        seconds: Time since the note.
        is_over: Whether the image has been loaded.
    """

    process: int
    worker: int
    image: str
    seconds: float
    is_over: bool


class LoadingRecord:
    """Holds which image each worker loads, in anonymous memory that forked workers share with their parent.

    A worker has a slot of its own and takes no lock. A copy, such as that of a worker that was spawned instead of
    forked, has slots of its own, so that its notes reach nobody.

    Args:
        dataset: The data set whose images are loaded; its ``get_data_info`` names their files. It is not kept alive.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = weakref.ref(dataset)
        self._slots = memoryview(mmap.mmap(-1, 8 * _FIELDS * _SLOTS)).cast('q')
        _records.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return LoadingRecord, (self._dataset(),)

    def note(self, index: int) -> None:
        """Note that this worker starts to load an image, or has loaded it if ``~index`` is given.

        Outside a worker, nothing is noted.
        """
        worker = get_worker_info()
        if worker is None:
            return
        start = worker.id % _SLOTS * _FIELDS
        self._slots[start + 2] = time.monotonic_ns()
        self._slots[start + 1] = index
        self._slots[start] = os.getpid()

    def read(self) -> list[Loading]:
        """Return the last note of each worker."""
        result, now = [], time.monotonic_ns()
        for worker in range(_SLOTS):
            process, index, since = self._slots[worker * _FIELDS : (worker + 1) * _FIELDS].tolist()
            if process:
                image = self._name(index if index >= 0 else ~index)
                result.append(Loading(process, worker, image, (now - since) / 1e9, index < 0))
        return result

    def _name(self, index: int) -> str:
        dataset = self._dataset()
        try:
            return str(dataset.get_data_info(index)['img_path'])  # type: ignore[union-attr]
        except Exception:  # the name is a part of an error that must not give way to another one
            return f'image {index}'


def loading_of(process: int) -> Loading | None:
    """Return the last note of a worker; None if there is none, as of data sets without a record."""
    notes = [note for record in _records for note in record.read() if note.process == process]
    return min(notes, key=lambda note: note.seconds, default=None)


def loading_now() -> list[Loading]:
    """Return the images that living workers of this process are loading, those that take longest first."""
    alive = {process.pid for process in multiprocessing.active_children()}
    notes = [note for record in _records for note in record.read() if note.process in alive and not note.is_over]
    return sorted(notes, key=lambda note: -note.seconds)

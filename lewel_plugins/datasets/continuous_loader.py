import copy
from collections.abc import Iterator
from itertools import count
from typing import Any

from torch.utils.data import BatchSampler, DataLoader

from lewel_plugins.running.watched_loader import watched

from .seeded_sampler import SeededSampler

_COPIED = (  # what a loader is built with, besides what chooses the samples
    'num_workers',
    'collate_fn',
    'pin_memory',
    'timeout',
    'worker_init_fn',
    'multiprocessing_context',
    'generator',
    'prefetch_factor',
)


class ContinuousLoader:
    """Iterates over the epochs of a data loader, whose workers go on with the next epoch at the end of one.

    torch's loader is empty at that point, so that each epoch starts with a wait for a whole batch of one worker. The
    batches are the same ones in the same order. An iteration that starts elsewhere than at the next epoch, such as at a
    resume, starts new workers.

    Args:
        loader: The data loader, with a :class:`SeededSampler` that is not infinite. Its attributes are also those of
            this object.
        epochs: Number of epochs, after which nothing is loaded; None for no end.

    Raises:
        ValueError: The data loader has another sampler.
    """

    def __init__(self, loader: DataLoader, epochs: int | None = None) -> None:
        if not isinstance(loader.sampler, SeededSampler) or loader.sampler.infinite:
            raise ValueError(f'a SeededSampler that is not infinite is needed, got {loader.sampler}')
        self.loader: Any = loader
        options = {name: getattr(loader, name) for name in _COPIED}
        self._endless = watched(DataLoader(loader.dataset, batch_sampler=_Batches(loader, epochs), **options))
        self._batches: Iterator[Any] | None = None
        self._next: tuple[int, int] | None = None  # seed and epoch that the workers go on with

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__['loader'], name)

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of the epoch that the sampler is set to."""
        sampler = self.loader.sampler
        seed, epoch, skipped = sampler.seed, sampler.epoch, sampler._skipped
        number = len(self.loader) - -(-skipped // self.loader.batch_size)
        if number < 1:
            sampler.skip(0)
            return
        if self._batches is None or skipped or (seed, epoch) != self._next:
            self._batches = None  # ends the workers of before
            self._batches = iter(self._endless)
        self._next = None
        for _ in range(number):
            yield next(self._batches)
        self._next = seed, epoch + 1


class _Batches:
    """The batches of indices of one epoch after another.

    Args:
        loader: The data loader.
        epochs: Number of epochs; None for no end.
    """

    def __init__(self, loader: DataLoader, epochs: int | None) -> None:
        self.loader: Any = loader
        self.epochs = epochs

    def __iter__(self) -> Iterator[list[Any]]:
        sampler = self.loader.sampler
        size, drop_last = self.loader.batch_size, self.loader.drop_last
        first, others = sampler.epoch, copy.copy(sampler)
        yield from BatchSampler(sampler, size, drop_last)  # without what is skipped
        others.skip(0)
        for epoch in count(first + 1) if self.epochs is None else range(first + 1, self.epochs):
            others.set_epoch(epoch)
            yield from BatchSampler(others, size, drop_last)

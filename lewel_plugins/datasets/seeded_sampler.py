from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from lewel_plugins.registry import DATA_SAMPLERS
from lewel_plugins.seeding import derive_seed

from .pretrain_dataset import PretrainDataset, SampleId


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Yield indices as a pure function of (seed, epoch, rank, world size), each with the seed of its views.

    Every epoch is a permutation of the dataset, dealt out to the ranks in turn. Samples from the start of the
    permutation pad its end, so that all ranks get the same number. With ``step``, an epoch is a whole number of
    optimizer steps instead, which matters where gradients are accumulated: a checkpoint at the end of an epoch does not
    hold those of an unfinished step. The end of the permutation then sits out, which is another part in each epoch.

    For a :class:`PretrainDataset` the items are :class:`SampleId`, otherwise plain indices. A :class:`PretrainDataset`
    among several wrappers must be the outermost.

    Args:
        dataset: The dataset, or mmengine's slice of it.
        seed: Run seed, the same on all ranks. By default it is drawn and shared.
        shuffle: Whether to permute.
        infinite: Whether an iteration continues with the next epoch, for ``IterBasedTrainLoop``.
        step: Images per optimizer step: batch × ranks × accumulated iterations. None for epochs of all images.

    Raises:
        ValueError: If the dataset is empty, or has fewer images than a step, or the ranks cannot share a step.
    """

    def __init__(
        self,
        dataset: Any,
        seed: int | None = None,
        shuffle: bool = True,
        infinite: bool = False,
        step: int | None = None,
    ) -> None:
        if len(dataset) == 0:
            raise ValueError(f'cannot sample from an empty dataset: {dataset}')
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.shuffle = shuffle
        self.infinite = infinite
        self.epoch = 0
        self.size = len(dataset)
        self.num_samples = self._count(step)
        # mmengine's slice (`num_batch_per_epoch`) passes each index on to the dataset that it wraps.
        self.with_seeds = isinstance(getattr(dataset, '_dataset', dataset), PretrainDataset)
        self._skipped = 0

    def _count(self, step: int | None) -> int:
        """Return the number of samples of an epoch on a rank."""
        if step is None:
            return -(-self.size // self.world_size)
        if not 1 <= step <= self.size:
            raise ValueError(f'step must be 1 to {self.size}, the number of images, got {step}')
        if step % self.world_size:
            raise ValueError(f'step must be a multiple of the {self.world_size} ranks, got {step}')
        return self.size // step * step // self.world_size

    def __len__(self) -> int:
        """Return the number of samples in an epoch on this rank."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch at which the next iteration starts."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Skip this rank's first ``num_samples`` samples of the epoch in the next iteration, and only in that one.

        Raises:
            ValueError: If the number is negative, or larger than the epoch while ``infinite`` is off.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must not be negative, got {num_samples}')
        if num_samples > self.num_samples and not self.infinite:
            raise ValueError(
                f'cannot skip {num_samples} samples of an epoch of {self.num_samples}; '
                'iteration-based training needs SeededSampler(infinite=True)'
            )
        self._skipped = num_samples

    def __iter__(self) -> Iterator[SampleId | int]:
        skipped, self._skipped = self._skipped, 0
        if not self.infinite:
            return islice(self._samples(self.epoch), skipped, None)
        epochs, rest = divmod(skipped, self.num_samples)
        return islice(self._endless(self.epoch + epochs), rest, None)

    def _endless(self, first_epoch: int) -> Iterator[SampleId | int]:
        for epoch in count(first_epoch):
            yield from self._samples(epoch)

    def _samples(self, epoch: int) -> Iterator[SampleId | int]:
        for index in self._indices(epoch).tolist():
            yield SampleId(index, derive_seed(self.seed, epoch, index)) if self.with_seeds else index

    def _indices(self, epoch: int) -> np.ndarray:
        """Return this rank's part of an epoch's permutation, (num_samples,)."""
        order: np.ndarray = np.arange(self.size)
        if self.shuffle:
            order = np.random.default_rng(derive_seed(self.seed, epoch)).permutation(self.size)
        return np.resize(order, self.num_samples * self.world_size)[self.rank :: self.world_size]

"""A loader that goes on with the next epoch gives the batches of torch's loader, without a wait between epochs."""

import multiprocessing
import time
from itertools import islice

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from lewel_plugins.datasets import ContinuousLoader, PretrainDataset, SeededSampler
from lewel_plugins.running import watched_loader

pytestmark = pytest.mark.core


class Items(Dataset):
    """Items that are the index and the seed of their views; counts how many were read."""

    def __init__(self) -> None:
        self.count = multiprocessing.Value('i', 0)

    def __len__(self) -> int:
        return 11

    def __getitem__(self, sample) -> torch.Tensor:
        with self.count.get_lock():
            self.count.value += 1
        return torch.tensor([sample.index, sample.seed % 2**31])


def loader(workers: int = 0, drop_last: bool = True) -> DataLoader:
    sampler = SeededSampler(PretrainDataset([{}] * 11), seed=3)
    return DataLoader(Items(), 2, sampler=sampler, num_workers=workers, drop_last=drop_last)


def epochs(batches, numbers, skipped: int = 0) -> list[list]:
    """Return the batches of some epochs, as a training loop gets them; the first ones of the first are skipped."""
    result = []
    for number in numbers:
        batches.sampler.set_epoch(number)
        if skipped and not result:
            batches.sampler.skip(min(2 * skipped, len(batches.sampler)))
        result.append([batch.tolist() for batch in batches])
    return result


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('drop_last', [True, False])
def test_the_batches_are_the_same_ones(workers, drop_last):
    expected = epochs(loader(drop_last=drop_last), range(5))
    assert len({str(epoch) for epoch in expected}) == 5
    batches = ContinuousLoader(loader(workers, drop_last), epochs=5)
    assert len(batches) == len(expected[0]) == (5 if drop_last else 6) and batches.batch_size == 2
    assert epochs(batches, range(5)) == expected
    # A resume within the third epoch, and at its end.
    assert epochs(ContinuousLoader(loader(workers, drop_last), 5), [2, 3, 4], 3) == [expected[2][3:], *expected[3:]]
    assert epochs(ContinuousLoader(loader(workers, drop_last), 5), [2, 3], len(batches)) == [[], expected[3]]


@pytest.mark.parametrize('workers', [0, 1])
def test_an_iteration_may_start_anywhere(workers):
    expected = epochs(loader(), range(5))
    batches = ContinuousLoader(loader(workers))
    assert epochs(batches, [0, 1]) == expected[:2]
    assert epochs(batches, [4, 0]) == [expected[4], expected[0]]
    batches.sampler.set_epoch(1)
    assert [batch.tolist() for batch in islice(batches, 2)] == expected[1][:2]
    assert epochs(batches, [1, 2]) == expected[1:3]
    batches.sampler.seed = 4
    assert epochs(batches, [3])[0] not in expected


def test_workers_go_on_at_the_end_of_an_epoch():
    for batches, further in ((ContinuousLoader(loader(1)), 4), (loader(1), 0)):
        epochs(batches, [0])
        end = time.monotonic() + (20 if further else 1)
        while (count := batches.dataset.count.value) < 10 + further and time.monotonic() < end:
            time.sleep(0.01)
        assert count == 10 + further  # two batches ahead


def test_it_is_watched_like_the_loader_of_a_run():
    assert isinstance(ContinuousLoader(loader(1))._endless, watched_loader._WatchedLoader)


def test_other_samplers_are_refused():
    sampler = SeededSampler(PretrainDataset([{}] * 11), seed=0, infinite=True)
    for other in (DataLoader(Items(), 2), DataLoader(Items(), 2, sampler=sampler)):
        with pytest.raises(ValueError, match='a SeededSampler that is not infinite is needed'):
            ContinuousLoader(other)
    sampler = SeededSampler(PretrainDataset([{}] * 11), seed=0)
    assert list(ContinuousLoader(DataLoader(Items(), 12, sampler=sampler, drop_last=True))) == []

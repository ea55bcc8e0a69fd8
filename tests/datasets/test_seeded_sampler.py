from itertools import islice

import pytest
from torch.utils.data import BatchSampler

from lewel_plugins.datasets import PretrainDataset, SampleId, SeededSampler

pytestmark = pytest.mark.core


def on_rank(sampler: SeededSampler, rank: int, world_size: int, step: int | None = None) -> SeededSampler:
    sampler.rank, sampler.world_size = rank, world_size
    sampler.num_samples = sampler._count(step)
    return sampler


@pytest.fixture
def images() -> PretrainDataset:
    return PretrainDataset([{}] * 10)


def test_plain_dataset_gets_indices_and_pretrain_dataset_seeds(images):
    assert sorted(SeededSampler(range(10), seed=0)) == list(range(10))
    samples = list(SeededSampler(images, seed=0))
    assert all(isinstance(sample, SampleId) for sample in samples)
    assert sorted(sample.index for sample in samples) == list(range(10))
    assert len({sample.seed for sample in samples}) == 10


def test_looks_through_mmengines_slice(images):
    from mmengine.runner.runner import _SlicedDataset

    samples = list(SeededSampler(_SlicedDataset(images, 4), seed=0))
    assert len(samples) == 4 and all(isinstance(sample, SampleId) for sample in samples)


def test_seed_and_epoch_decide(images):
    def epoch(seed: int, number: int) -> list:
        sampler = SeededSampler(images, seed=seed)
        sampler.set_epoch(number)
        return list(sampler)

    assert epoch(1, 2) == epoch(1, 2)
    assert epoch(1, 2) != epoch(1, 3)
    assert epoch(1, 2) != epoch(2, 2)
    # An image has other views in another epoch.
    assert not set(epoch(1, 2)) & set(epoch(1, 3))


def test_without_shuffle_the_order_stays(images):
    sampler = SeededSampler(images, seed=0, shuffle=False)
    assert [sample.index for sample in sampler] == list(range(10))


@pytest.mark.parametrize('world_size', [2, 3, 4, 16])
def test_ranks_share_an_epoch_and_fill_the_tail_from_its_start(images, world_size):
    whole = list(SeededSampler(images, seed=0))
    ranks = [list(on_rank(SeededSampler(images, seed=0), rank, world_size)) for rank in range(world_size)]
    length = -(-10 // world_size)
    assert [len(part) for part in ranks] == [length] * world_size
    dealt = [ranks[i % world_size][i // world_size] for i in range(length * world_size)]
    assert dealt == (whole * 2)[: len(dealt)]


@pytest.mark.parametrize(('world_size', 'step'), [(1, 4), (2, 4), (2, 6), (3, 9), (4, 8), (2, 10)])
def test_with_a_step_an_epoch_is_whole_steps_of_different_images(images, world_size, step):
    left_out = []
    for epoch in range(5):
        ranks = [on_rank(SeededSampler(images, seed=0, step=4), rank, world_size, step) for rank in range(world_size)]
        whole = SeededSampler(images, seed=0)
        for sampler in (*ranks, whole):
            sampler.set_epoch(epoch)
        parts = [list(sampler) for sampler in ranks]
        assert [len(part) for part in parts] == [10 // step * step // world_size] * world_size
        count = 10 // step * step
        assert [parts[i % world_size][i // world_size] for i in range(count)] == list(whole)[:count]
        left_out.append({sample.index for sample in whole} - {sample.index for part in parts for sample in part})
    assert step == 10 or len(set(map(frozenset, left_out))) > 1


def test_an_endless_iteration_with_a_step_goes_through_whole_steps(images):
    epochs = []
    for epoch in range(3):
        finite = SeededSampler(images, seed=0, step=4)
        finite.set_epoch(epoch)
        epochs += list(finite)
    sampler = SeededSampler(images, seed=0, infinite=True, step=4)
    sampler.skip(9)
    assert list(islice(sampler, 15)) == epochs[9:]


@pytest.mark.parametrize('skipped', [0, 1, 7, 10])
def test_skip_gives_the_tail_once(images, skipped):
    sampler = SeededSampler(images, seed=0)
    whole = list(sampler)
    sampler.skip(skipped)
    assert len(sampler) == 10
    assert list(sampler) == whole[skipped:]
    assert list(sampler) == whole


@pytest.mark.parametrize('skipped', [0, 3, 5, 12])
def test_infinite_runs_through_the_epochs(images, skipped):
    sampler = on_rank(SeededSampler(images, seed=0, infinite=True), 1, 2)
    epochs = []
    for epoch in range(4):
        finite = on_rank(SeededSampler(images, seed=0), 1, 2)
        finite.set_epoch(epoch)
        epochs += list(finite)
    sampler.skip(skipped)
    assert list(islice(sampler, 20 - skipped)) == epochs[skipped:]


def test_skip_holds_for_batches(images):
    sampler = SeededSampler(images, seed=0)
    batches = list(BatchSampler(sampler, 3, drop_last=True))
    sampler.skip(2 * 3)
    assert list(BatchSampler(sampler, 3, drop_last=True)) == batches[2:]


def test_bad_values(images):
    with pytest.raises(ValueError, match='empty'):
        SeededSampler([], seed=0)
    for step in (0, 11):
        with pytest.raises(ValueError, match=f'step must be 1 to 10, the number of images, got {step}'):
            SeededSampler(images, seed=0, step=step)
    with pytest.raises(ValueError, match='step must be a multiple of the 2 ranks, got 5'):
        on_rank(SeededSampler(images, seed=0), 0, 2, 5)
    with pytest.raises(ValueError, match='negative, got -1'):
        SeededSampler(images, seed=0).skip(-1)
    with pytest.raises(ValueError, match=r'skip 11 samples of an epoch of 10.*infinite=True'):
        SeededSampler(images, seed=0).skip(11)

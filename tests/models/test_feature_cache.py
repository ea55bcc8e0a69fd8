import pytest
import torch
import torch.nn.functional as F

from lewel_plugins import dist
from lewel_plugins.models import FeatureCache

pytestmark = pytest.mark.core


def features(rows: int, seed: int = 0) -> torch.Tensor:
    return 5 * torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_keeps_unit_features_in_order(dtype):
    cache = FeatureCache(4, dtype)
    cache.start(3)
    batches = [features(5, seed) for seed in range(3)]
    for z in batches:
        cache.add(z.requires_grad_())
    rows, positions = cache.features()
    assert rows.dtype == getattr(torch, dtype) and not rows.requires_grad
    assert torch.equal(rows, F.normalize(torch.cat(batches).detach(), dim=1).to(rows.dtype))
    assert positions.tolist() == list(range(15))


def test_makes_room_once_and_forgets_without_giving_it_back():
    cache = FeatureCache(4)
    cache.add(features(5))
    assert cache.filled == 0 and len(cache.rows) == 0  # off
    cache.start(3)
    places = set()
    for _ in range(3):
        for rows in (5, 5, 3):  # the last batch of an epoch is smaller
            cache.add(features(rows))
            places.add(cache.rows.data_ptr())
        assert cache.filled == cache.total == 13
        cache.clear()
    assert len(cache.rows) == 15 and len(places) == 1


def test_keeps_nothing_between_stop_and_start():
    cache = FeatureCache(4, 'float32')
    cache.start(2)
    cache.add(features(3))
    cache.stop()
    cache.add(features(3, seed=1))
    cache.start(2)
    cache.add(features(3, seed=2))
    rows, positions = cache.features()
    assert torch.equal(rows, F.normalize(torch.cat([features(3), features(3, seed=2)]), dim=1))
    assert positions.tolist() == list(range(6)) and len(cache.rows) == 6


def test_a_larger_batch_makes_more_room_and_keeps_what_is_there():
    cache = FeatureCache(4, 'float32')
    cache.start(2)
    cache.add(features(3))
    first = cache.features()[0].clone()
    cache.add(features(7, seed=1))
    rows, positions = cache.features()
    assert torch.equal(rows[:3], first) and positions.tolist() == list(range(10))


def test_positions_are_those_of_one_process(monkeypatch):
    """The rows of two ranks, put one after the other and sorted by position, are the cache of one process."""
    monkeypatch.setattr(dist, 'world_size', lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(dist, 'rank', lambda rank=rank: rank)
        cache = FeatureCache(4, 'float32')
        cache.start(2)
        for step, rows in enumerate((6, 4)):
            cache.add(features(rows, seed=step)[rank::2])
        parts.append(cache.rank_state())
    rows, positions = (torch.cat([part[name] for part in parts]) for name in ('rows', 'positions'))
    assert positions.tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    expected = F.normalize(torch.cat([features(6), features(4, seed=1)]), dim=1)
    assert torch.equal(rows[positions.argsort()], expected)


@pytest.mark.parametrize('ranks', [1, 2, 3, 5])
def test_state_of_two_ranks_goes_on_on_any_number(ranks, monkeypatch):
    """All ranks have equally many rows; those that are left over are the newest."""
    total = 8 - 8 % ranks
    states = [dict(rows=features(4, seed).bfloat16(), positions=torch.arange(4) * 2 + seed) for seed in range(2)]
    monkeypatch.setattr(dist, 'world_size', lambda: ranks)
    positions = []
    for rank in range(ranks):
        monkeypatch.setattr(dist, 'rank', lambda rank=rank: rank)
        cache = FeatureCache(4)
        cache.start(3)
        cache.load_rank_state(states)
        if ranks == 2:
            assert torch.equal(cache.features()[0], states[rank]['rows'])
        for row, position in zip(*cache.features()):
            assert torch.equal(row, states[position % 2]['rows'][position // 2])
        cache.add(features(1))
        positions += cache.features()[1].tolist()
        assert cache.filled == total // ranks + 1 and cache.total == total + ranks
    assert sorted(positions) == list(range(total + ranks))


def test_is_not_in_the_state_dict_and_keeps_its_type():
    cache = FeatureCache(4)
    cache.start(1)
    cache.add(features(2))
    assert not cache.state_dict()
    assert cache.double().rows.dtype == torch.bfloat16


def test_unknown_dtype():
    with pytest.raises(ValueError, match='bfloat16.*float32.*float16'):
        FeatureCache(4, 'float16')

import random

import numpy as np
import pytest
import torch

from lewel_plugins.seeding import derive_seed, seed_generators, seed_shared_generator, seeded, shared_generator

pytestmark = pytest.mark.core


def draw() -> tuple:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_first_round_is_splitmix64():
    # The first output of SplitMix64 from state 0, shifted to 63 bits.
    assert derive_seed(0) == 0xE220A8397B1DCDAF >> 1


def test_seeds_of_neighbors_are_unrelated():
    seeds = [derive_seed(a, b, c) for a in range(5) for b in range(20) for c in range(100)]
    assert len(set(seeds)) == len(seeds)
    assert derive_seed(1, 2) != derive_seed(2, 1)
    assert derive_seed(1) != derive_seed(1, 0)
    bits = np.array([[seed >> bit & 1 for bit in range(63)] for seed in seeds])
    assert np.abs(bits.mean(0) - 0.5).max() < 0.03
    assert np.abs(np.corrcoef(bits.T) - np.eye(63)).max() < 0.06


def test_same_seed_same_draws():
    seed_generators(derive_seed(3, 4))
    first = draw()
    seed_generators(derive_seed(3, 4))
    assert draw() == first
    seed_generators(derive_seed(3, 5))
    assert all(a != b for a, b in zip(draw(), first))


def test_seeded_restores_the_generators():
    seed_generators(7)
    draw()
    expected_after = None
    for inside in (False, True):
        seed_generators(7)
        draw()
        if inside:
            with pytest.raises(KeyError), seeded(11):
                draw()
                raise KeyError
        after = draw(), np.random.permutation(50).tolist()
        expected_after = expected_after or after
    assert after == expected_after


def test_seeded_is_a_function_of_the_seed():
    draws = []
    for _ in range(2):
        random.random(), np.random.rand(), torch.rand(3)
        with seeded(5):
            draws.append((draw(), np.random.normal(size=3).tolist()))
    assert draws[0] == draws[1]


def test_the_shared_generator_is_independent():
    device, draws = torch.device('cpu'), []
    for other in (0, 1):
        torch.manual_seed(other)
        seed_shared_generator(9)
        draws.append(torch.rand(3, generator=shared_generator(device)))
    assert torch.equal(*draws)
    assert torch.equal(draws[0], torch.rand(3, generator=torch.Generator().manual_seed(9)))
    seed_shared_generator(10)
    assert not torch.equal(draws[0], torch.rand(3, generator=shared_generator(device)))

"""Derive seeds from numbers, and run code under a seed of its own."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import get_worker_info

_MASK = (1 << 64) - 1
_NUMPY_SOURCE = np.random.MT19937()


def derive_seed(*values: int) -> int:
    """Hash integers, such as (run seed, epoch, index), to a seed in [0, 2**63).

    The order matters, and close numbers give unrelated seeds. Each value goes through one round of SplitMix64
    (Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
    """
    state = 0
    for value in values:
        state = ((state ^ int(value)) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def seed_generators(seed: int) -> None:
    """Seed the generators of ``random``, numpy and torch (on the CPU) in this process with one 63-bit number."""
    random.seed(seed)
    np.random.seed((seed ^ seed >> 32) & 0xFFFFFFFF)  # numpy accepts 32 bits
    # torch.manual_seed would also visit every accelerator, which costs more than everything else here.
    torch.default_generator.manual_seed(seed)


_shared_seed = 0
_shared_generators: dict[torch.device, torch.Generator] = {}


def seed_shared_generator(seed: int) -> None:
    """Seed :func:`shared_generator` on all devices. The seed must be the same on all ranks."""
    global _shared_seed
    _shared_seed = seed
    for generator in _shared_generators.values():
        generator.manual_seed(seed)


def shared_generator(device: torch.device) -> torch.Generator:
    """Return a generator on ``device`` whose draws, unlike those of torch's generator, are the same on all ranks.

    ``ReproducibilityHook`` seeds it in every iteration from the run's seed. Without the hook its seed is 0.
    """
    if device not in _shared_generators:
        _shared_generators[device] = torch.Generator(device).manual_seed(_shared_seed)
    return _shared_generators[device]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block under :func:`seed_generators`, and restore the generators afterward.

    In a worker of a DataLoader the generators are not restored, because nothing draws from them outside such blocks.
    Blocks cannot be nested.
    """
    if get_worker_info() is not None:
        seed_generators(seed)
        yield
        return
    python_state, torch_state = random.getstate(), torch.default_generator.get_state()
    # Copying numpy's state takes 60 us in each direction, so another bit generator is swapped in. (The cached second
    # normal variate is lost.)
    numpy_source = np.random.get_bit_generator()  # type: ignore[attr-defined]
    np.random.set_bit_generator(_NUMPY_SOURCE)  # type: ignore[attr-defined]
    seed_generators(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_bit_generator(numpy_source)  # type: ignore[attr-defined]
        torch.default_generator.set_state(torch_state)

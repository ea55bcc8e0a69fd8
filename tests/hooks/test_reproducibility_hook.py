"""The hook alone; ``tests/test_resume.py`` tests it in a run."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.ranks import on_ranks
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader

from lewel_plugins.datasets import SeededSampler
from lewel_plugins.hooks import ReproducibilityHook
from lewel_plugins.seeding import shared_generator

pytestmark = pytest.mark.core


def numbers(seed: int, iteration: int) -> tuple[float, float, float]:
    runner = SimpleNamespace(seed=seed, iter=iteration)
    ReproducibilityHook().before_train_iter(runner, batch_idx=0)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_generators_are_a_function_of_seed_and_iteration():
    first = numbers(0, 5)
    assert len(set(first)) == 3
    torch.rand(100)
    assert numbers(0, 5) == first
    for other in (numbers(0, 6), numbers(1, 5)):
        assert all(a != b for a, b in zip(first, other))


def test_the_shared_generator_is_the_same_on_all_ranks(monkeypatch):
    draws = []
    for rank in (0, 3):
        monkeypatch.setattr('lewel_plugins.hooks.reproducibility_hook.get_rank', lambda: rank)  # noqa: B023
        own = numbers(0, 5)
        draws.append((own, torch.rand((), generator=shared_generator(torch.device('cpu'))).item()))
    assert draws[0][0] != draws[1][0]
    assert draws[0][1] == draws[1][1]
    assert draws[0][1] not in draws[0][0]
    numbers(0, 6)
    assert torch.rand((), generator=shared_generator(torch.device('cpu'))).item() != draws[0][1]


class Sampler:
    def __init__(self, length: int) -> None:
        self.length, self.skipped = length, None

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip(self, samples: int) -> None:
        self.skipped = samples


class Loader:
    def __init__(self, sampler, batch_size: int, length: int) -> None:
        self.sampler, self.batch_size, self.length = sampler, batch_size, length

    def __len__(self) -> int:
        return self.length


@pytest.mark.parametrize(
    ('iteration', 'epoch', 'skipped'),
    [(0, 0, None), (6, 1, None), (8, 1, 8), (12, 1, 22)],  # the end of an epoch, whose last batch is not full
)
def test_a_resumed_epoch_starts_where_it_was_left(iteration, epoch, skipped):
    sampler = Sampler(22)
    runner = SimpleNamespace(
        train_dataloader=Loader(sampler, batch_size=4, length=6),
        train_loop=None,
        iter=iteration,
        epoch=epoch,
        seed=3,
        logger=SimpleNamespace(info=lambda text: None),
    )
    ReproducibilityHook().before_train_epoch(runner)
    assert (sampler.seed, sampler.epoch, sampler.skipped) == (3, epoch, skipped)


def test_other_samplers_only_get_their_epoch():
    class Plain:
        epoch = None

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    sampler = Plain()
    runner = SimpleNamespace(train_dataloader=Loader(sampler, 4, 6), train_loop=None, iter=8, epoch=1, seed=3)
    ReproducibilityHook().before_train_epoch(runner)
    assert sampler.epoch == 1


class OnDevice(torch.Tensor):
    """A tensor that records when it is copied to the CPU."""

    def cpu(self):
        return torch.tensor(7.0)


@pytest.mark.parametrize(('fused', 'expected'), [(None, torch.Tensor), (True, OnDevice)])
def test_adams_step_counts_are_on_the_cpu_unless_a_fused_step_reads_them(fused, expected):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])
    state = optimizer.state[optimizer.param_groups[0]['params'][0]] = dict(step=torch.tensor(7.0).as_subclass(OnDevice))
    optimizer.param_groups[0]['fused'] = fused
    wrapper = SimpleNamespace(optimizer=optimizer)
    ReproducibilityHook().before_train(SimpleNamespace(optim_wrapper=wrapper, train_dataloader=None))
    assert type(state['step']) is expected


@pytest.mark.parametrize('saved', [{}, dict(scale=2.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=9)])
def test_a_run_in_bfloat16_goes_on_in_float16(saved):
    optimizer = dict(state={}, param_groups=[], loss_scaler=dict(saved))
    ReproducibilityHook().after_load_checkpoint(None, dict(optimizer=optimizer))
    assert optimizer.get('loss_scaler', {}) == saved and ('loss_scaler' in optimizer) == bool(saved)
    ReproducibilityHook().after_load_checkpoint(None, dict(state_dict={}))  # only the weights


class NoLength:
    """An endless sampler."""

    def __iter__(self):
        return iter(lambda: 0, 1)


def start(rank: int, sampler: str, images: int, batch_size: int, drop_last: bool) -> tuple[str, list[int]]:
    """Return the error of the start of a training on this rank, and the sizes of its batches."""
    data = list(range(images))
    built = dict(
        seeded=lambda: SeededSampler(data, seed=0),
        padded=lambda: DefaultSampler(data, seed=0),
        uneven=lambda: DefaultSampler(data, seed=0, round_up=False),
        endless=NoLength,
    )[sampler]()
    loader = DataLoader(data, batch_size, sampler=built, drop_last=drop_last)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    runner = SimpleNamespace(train_dataloader=loader, optim_wrapper=SimpleNamespace(optimizer=optimizer))
    try:
        ReproducibilityHook().before_train(runner)
    except ValueError as error:
        return str(error), []
    return '', [] if sampler == 'endless' else [len(batch) for batch in loader]


def all_starts(rank: int) -> dict:
    cases = [
        (sampler, images, 4, drop_last)
        for sampler in ('seeded', 'padded', 'uneven', 'endless')
        for images in (13, 15, 16)
        for drop_last in (False, True)
    ]
    return {case: start(rank, *case) for case in cases}


def test_uneven_batches_raise_on_every_rank(tmp_path):
    first, second = on_ranks(2, tmp_path, all_starts)
    for (sampler, images, size, drop_last), (error, batches) in first.items():
        case = sampler, images, size, drop_last
        assert second[case] == (error, batches)  # the sizes, too: no rank has another last batch
        # 13 images are 7 and 6, and 15 are 8 and 7: with drop_last, 1 and 1 batches of 4, and 2 and 1.
        assert bool(error) == (sampler == 'uneven' and images != 16 and not (images == 13 and drop_last)), case
    message = first['uneven', 15, 4, False][0]
    assert 'rank 0: 2 x 4 + 0, rank 1: 1 x 4 + 3 images' in message and 'SeededSampler' in message
    assert first['seeded', 13, 4, False][1] == [4, 3]  # small, but the same on both


def test_one_process_needs_no_check():
    assert start(0, 'uneven', 13, 4, False) == ('', [4, 4, 4, 1])

"""MSBReg's losses on several ranks equal those of one process on the whole batch."""

from pathlib import Path

import pytest
import torch
from helpers import references as naive
from helpers.ranks import on_ranks
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.datasets import SeededSampler
from lewel_plugins.models import BrownianLoss, SingularValueLoss, UniformityLoss
from lewel_plugins.models.losses.brownian_loss import directions
from lewel_plugins.seeding import seed_shared_generator

pytestmark = pytest.mark.core

TOLERANCE = 1e-10
K, N, D = 3, 8, 5


def embeddings() -> Tensor:
    return torch.randn(K, N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 + 1


def on_rank(rank: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return loss and gradient, averaged as by DDP, on the images of a rank, which are dealt out in turn."""
    actual = {}
    singular = SingularValueLoss(0.3), SingularValueLoss(0.3, normalize=True)
    for loss in (*singular, BrownianLoss(0.7), UniformityLoss(0.6)):
        seed_shared_generator(11)
        p = embeddings()[:, rank :: dist.world_size()].requires_grad_()
        value = loss(p)
        (gradient,) = torch.autograd.grad(value, p)
        actual[f'{loss.name}{getattr(loss, "normalize", "")}'] = value.detach(), gradient / dist.world_size()
    seed_shared_generator(11)
    actual['directions'] = (directions(N // dist.world_size(), D, torch.device('cpu')),) * 2
    return actual


@pytest.mark.parametrize('world_size', [2, 4])
def test_ranks_equal_one_process(world_size, tmp_path):
    expected, ranks = on_rank(0), on_ranks(world_size, Path(tmp_path), on_rank)
    for name, (value, gradient) in expected.items():
        rows = gradient if name == 'directions' else gradient.transpose(0, 1)
        for r, actual in enumerate(ranks):
            ours = actual[name][1] if name == 'directions' else actual[name][1].transpose(0, 1)
            assert naive.largest_difference([ours], [rows[r::world_size]]) < TOLERANCE, name
        if name == 'directions':
            assert all(torch.equal(actual[name][1], value[r::world_size]) for r, actual in enumerate(ranks))
            continue
        mean = torch.stack([actual[name][0] for actual in ranks]).mean()
        assert naive.largest_difference([mean], [value]) < TOLERANCE, name
        if not name.startswith('brownian'):  # every rank has the loss of the global batch
            assert all(naive.largest_difference([actual[name][0]], [value]) < TOLERANCE for actual in ranks)
        if name.startswith('singular'):
            local = LF.singular_value_loss(embeddings()[:, ::world_size], name.endswith('True'))
            assert (0.3 * local - value).abs() > 1e-3  # the comparison can fail


def local_on_rank(rank: int) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of one rank's covariance."""
    p = embeddings()[:, rank :: dist.world_size()].requires_grad_()
    value = SingularValueLoss(0.3, sync=False)(p)
    return value.detach(), torch.autograd.grad(value, p)[0]


@pytest.mark.parametrize('world_size', [2, 4])
def test_without_sync_a_rank_has_the_covariance_of_its_images(world_size, tmp_path):
    synced = SingularValueLoss(0.3)(embeddings())
    for r, actual in enumerate(on_ranks(world_size, Path(tmp_path), local_on_rank)):
        p = embeddings()[:, r::world_size].requires_grad_()
        expected = 0.3 * naive.singular_value_loss(p)
        assert naive.largest_difference(list(actual), [expected, *torch.autograd.grad(expected, p)]) < TOLERANCE
        assert (actual[0] - synced).abs() > 1e-3


@pytest.mark.parametrize(('n', 'expected'), [(64, 1.05), (512, 0.13)])
def test_loss_of_ideal_embeddings_depends_on_their_number(n, expected):
    """The numbers of the docstring of SingularValueLoss."""
    p = torch.randn(20, n, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert SingularValueLoss()(p).item() == pytest.approx(expected, rel=0.02)
    assert 4e-3 * 128 * 129 / (n - 1) == pytest.approx(expected, rel=0.01)


def test_directions_are_a_function_of_the_seed():
    actual = []
    for seed in (1, 1, 2):
        seed_shared_generator(seed)
        torch.rand(3)  # the default generator must not matter
        actual.append(directions(6, 4, torch.device('cpu')))
    assert torch.equal(actual[0], actual[1])
    assert not torch.equal(actual[0], actual[2])
    assert not torch.equal(actual[0], directions(6, 4, torch.device('cpu')))


def directions_of_images(world_size: int, monkeypatch) -> dict[int, Tensor]:
    """Return the direction of every image by its index, over an epoch in global batches of 8."""
    actual = {}
    for rank in range(world_size):
        monkeypatch.setattr('lewel_plugins.datasets.seeded_sampler.get_dist_info', lambda: (rank, world_size))  # noqa: B023
        monkeypatch.setattr('lewel_plugins.dist.rank', lambda: rank)  # noqa: B023
        monkeypatch.setattr('lewel_plugins.dist.world_size', lambda: world_size)
        indices, batch = list(SeededSampler(range(24), seed=5)), 8 // world_size
        for iteration in range(3):
            seed_shared_generator(iteration)
            rows = directions(batch, 4, torch.device('cpu'))
            actual.update(zip(indices[iteration * batch : (iteration + 1) * batch], rows))
    return actual


def test_an_image_has_the_same_direction_on_any_number_of_ranks(monkeypatch):
    alone = directions_of_images(1, monkeypatch)
    assert len(alone) == 24
    assert len({tuple(d.tolist()) for d in alone.values()}) == 24
    for world_size in (2, 4):
        several = directions_of_images(world_size, monkeypatch)
        assert several.keys() == alone.keys()
        assert all(torch.equal(several[index], alone[index]) for index in alone)


def test_uniformity_is_the_mean_over_views():
    p = embeddings()
    expected = sum(naive.uniformity(view) for view in p) / K
    assert naive.largest_difference([UniformityLoss(0.6)(p)], [0.6 * expected]) < TOLERANCE


@pytest.mark.parametrize('loss', [SingularValueLoss, BrownianLoss, UniformityLoss])
def test_negative_weights_are_refused(loss):
    with pytest.raises(ValueError, match='weight .* got -0.1'):
        loss(weight=-0.1)

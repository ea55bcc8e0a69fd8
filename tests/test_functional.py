"""Every function of ``lewel_plugins.functional`` against ``references.py`` in float64."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers import references as naive
from helpers import references_mpcl
from scipy.linalg import eigh
from torch import Tensor

from lewel_plugins import functional as LF

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Case = tuple[str, tuple[Tensor, ...], dict]

CASES: list[Case] = [
    ('alignment_maps', (randn(2, 6, 5),), {}),
    ('alignment_maps', (3 * randn(3, 4, 7),), dict(scale=2.5)),
    ('aligned_pooling', (randn(2, 8, 5), randn(2, 8, 5, seed=1)), dict(num_groups=1)),
    ('aligned_pooling', (randn(2, 12, 3), randn(2, 8, 3, seed=1)), dict(num_groups=4)),
    ('aligned_pooling', (randn(3, 6, 4), randn(3, 6, 4, seed=1)), dict(num_groups=6)),
    ('info_nce', (randn(4, 5), randn(4, 5, seed=1), 3 * randn(5, 7, seed=2)), dict(tau=0.2)),
    ('info_nce', (randn(1, 3), randn(1, 3, seed=1), randn(3, 1, seed=2)), dict(tau=1.0)),
    ('aligned_info_nce', (randn(3, 4, 5), randn(3, 4, 5, seed=1)), dict(tau=0.2)),
    ('aligned_info_nce', (randn(2, 1, 3), randn(2, 1, 3, seed=1)), dict(tau=0.1)),
    ('cosine_mse', (randn(5, 4), 2 * randn(5, 4, seed=1)), {}),
    ('centroid_loss', (randn(4, 3, 5), 2 * randn(4, 3, 5, seed=1)), {}),
    ('centroid_loss', (randn(3, 2, 4), randn(3, 2, 4, seed=1)), dict(exclude_self=True)),
    ('singular_value_loss', (randn(2, 6, 4) + 1,), {}),
    ('singular_value_loss', (2 * randn(3, 3, 5),), dict(normalize=True)),
    ('brownian_loss', (randn(4, 3, 5), 3 * randn(3, 5, seed=1)), {}),
    ('multi_crop_loss', (randn(5, 3, 4), randn(2, 3, 4, seed=1)), {}),
    ('multi_crop_loss', (randn(4, 3, 5), 2 * randn(4, 3, 5, seed=1)), {}),
    # Groups with several features, with one, and with none.
    ('update_groups', (randn(5, 4), randn(6, 4, seed=1)), dict(assignment=torch.tensor([3, 0, 3, 3, 4, 0]), beta=0.6)),
    ('update_groups', (3 * randn(2, 3), randn(1, 3, seed=1)), dict(assignment=torch.tensor([1]), beta=0.0)),
    ('update_groups', (randn(2, 3), randn(2, 3, seed=1)), dict(assignment=torch.tensor([1, 1]), beta=1.0)),
    ('group_contrast', (randn(4, 5), 2 * randn(3, 5, seed=1)), dict(assignment=torch.tensor([2, 0, 2, 1]), tau=0.1)),
    ('group_contrast', (randn(1, 3), randn(2, 3, seed=1)), dict(assignment=torch.tensor([0]), tau=1.0)),
    ('alignment', (randn(5, 4), 2 * randn(5, 4, seed=1)), {}),
    ('uniformity', (randn(6, 4),), {}),
    ('uniformity', (randn(3, 4),), dict(t=0.5)),
    ('covariance_spectrum', (randn(6, 4),), {}),
    ('rank_me', (randn(6, 4),), {}),
    ('rank_me', (randn(3, 5),), {}),
    ('lidar', (randn(5, 3, 4),), {}),
    ('lidar', (randn(3, 2, 7),), dict(delta=0.3)),  # fewer views than channels
]
IDS = [f'{name}-{i}' for i, (name, _, _) in enumerate(CASES)]


def bind(function: Callable, keywords: dict) -> Callable[..., Tensor]:
    return lambda *args: function(*args, **keywords)


def differences(case: Case) -> dict[str, float]:
    name, inputs, keywords = case
    ours = naive.value_and_gradients(bind(getattr(LF, name), keywords), inputs)
    theirs = naive.value_and_gradients(bind(getattr(naive, name), keywords), inputs)
    assert all(a.shape == b.shape for a, b in zip(ours, theirs))
    return dict(
        value=naive.largest_difference(ours[:1], theirs[:1]), gradient=naive.largest_difference(ours[1:], theirs[1:])
    )


@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_value_and_gradient_equal_the_naive_loops(case):
    worst = differences(case)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_gradcheck(case):
    name, inputs, keywords = case
    leaves = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(bind(getattr(LF, name), keywords), leaves)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_half_precision_is_computed_in_float32(case, dtype):
    name, inputs, keywords = case
    low = [x.to(dtype) for x in inputs]
    if name == 'aligned_pooling' and dtype == torch.float16 and torch.__version__ < '2.2':
        pytest.skip('no batched float16 product on CPU before torch 2.2')
    ours = getattr(LF, name)(*low, **keywords)
    exact = getattr(LF, name)(*[x.double() for x in low], **keywords)
    if name == 'aligned_pooling':  # keeps the type of the input; only the sum of products is wider
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), exact, rtol=torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps)
    else:
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('case', [c for c in CASES if c[0] != 'aligned_pooling'], ids=lambda c: c[0])
def test_autocast_does_not_lower_the_precision(case):
    name, inputs, keywords = case
    single = [x.float().requires_grad_() for x in inputs]
    exact = getattr(LF, name)(*[x.detach().double() for x in single], **keywords)
    with torch.autocast('cpu', torch.bfloat16):
        ours = getattr(LF, name)(*single, **keywords)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.detach().double(), exact, rtol=1e-5, atol=1e-6)
    ours.sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in single)


def test_pooling_sums_many_half_precision_products_in_float32():
    # 4096 equal addends: a bfloat16 accumulator of 8 bits would stop growing at 256 of them.
    positions = 4096
    f, maps = torch.ones(1, 4, positions, dtype=torch.bfloat16), torch.full((1, 4, positions), 1 / positions)
    pooled = LF.aligned_pooling(f, maps.bfloat16(), 2)
    torch.testing.assert_close(pooled.float(), torch.ones(1, 2, 4), rtol=1e-2, atol=0)


def test_maps_sum_to_one_and_ignore_the_length_of_the_heat():
    heat = randn(2, 6, 9)
    maps = LF.alignment_maps(heat)
    assert (maps > 0).all()
    torch.testing.assert_close(maps.sum(2), torch.ones(2, 6, dtype=torch.float64))
    torch.testing.assert_close(LF.alignment_maps(100 * heat), maps)


def test_zero_vectors_and_equal_rows_have_finite_values_and_gradients():
    for function, inputs in (
        (LF.alignment_maps, (torch.zeros(1, 4, 3),)),
        (LF.cosine_mse, (torch.zeros(2, 4), torch.ones(2, 4))),
        (LF.uniformity, (torch.ones(4, 3),)),
        (bind(LF.info_nce, dict(tau=0.2)), (torch.zeros(2, 4), torch.ones(2, 4), torch.ones(4, 3))),
        (bind(LF.aligned_info_nce, dict(tau=0.2)), (torch.zeros(2, 2, 4), torch.ones(2, 2, 4))),
        (LF.centroid_loss, (torch.zeros(2, 3, 4), torch.ones(2, 3, 4))),
        (bind(LF.singular_value_loss, dict(normalize=True)), (torch.zeros(2, 3, 4),)),
        (LF.brownian_loss, (torch.zeros(2, 3, 4), torch.zeros(3, 4))),
    ):
        value, *gradients = naive.value_and_gradients(function, inputs)
        assert value.isfinite().all() and all(g.isfinite().all() for g in gradients)


def test_extreme_temperature_does_not_overflow():
    q = torch.eye(4, 8)
    assert LF.info_nce(q, -q, q.T, 1e-3).item() == pytest.approx(2000, rel=1e-5)  # 2 / τ: cos = -1 against cos = 1
    assert LF.aligned_info_nce(q.view(2, 2, 8), q.view(2, 2, 8), 1e-3).item() == pytest.approx(0, abs=1e-6)


def test_known_values():
    same = randn(6, 4)
    assert LF.cosine_mse(same, 3 * same).item() == pytest.approx(0, abs=1e-12)
    assert LF.cosine_mse(same, -same).item() == pytest.approx(4)
    assert LF.alignment(same, same).item() == pytest.approx(0, abs=1e-12)
    assert LF.uniformity(torch.eye(2, dtype=torch.float64)).item() == pytest.approx(-4)  # one pair, distance √2
    assert LF.rank_me(torch.eye(5, dtype=torch.float64)).item() == pytest.approx(5, rel=1e-5)
    assert LF.rank_me(torch.ones(5, 3, dtype=torch.float64)).item() == pytest.approx(1, rel=1e-4)
    assert LF.rank_me(torch.zeros(5, 3)).isfinite()
    # Even on the circle; the divisor n - 1 gives 4/3 instead of 1.
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    torch.testing.assert_close(LF.covariance_spectrum(signs), torch.full((2,), 4 / 3))
    few = LF.covariance_spectrum(randn(3, 5))
    assert (few[:2] > 1e-3).all() and (few[2:] < 1e-12).all()


def test_lidar_by_generalized_eigenvalues():
    """By scipy's solver of Σ_b v = λ Σ_w v, with classes as numpy computes their covariances."""
    x = randn(40, 6, 5) + 2 * randn(40, 1, 5, seed=1) * torch.tensor([3.0, 1, 0.3, 0.1, 0])
    between = np.cov(x.mean(1).numpy(), rowvar=False)
    within = np.mean([np.cov(views.numpy(), rowvar=False) for views in x], 0) + 1e-2 * np.eye(5)
    shares = eigh(between, within, eigvals_only=True)
    shares = shares / shares.sum() + 1e-7
    assert LF.lidar(x, 1e-2).item() == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-12)


def test_lidar_of_views_without_noise_and_of_noise():
    axes = torch.cat([torch.eye(6), -torch.eye(6)]).double()  # images, as many in each direction
    assert LF.lidar(axes[:, None].expand(12, 4, 6)).item() == pytest.approx(6, rel=1e-4)
    flat = axes[:, None] * torch.tensor([1.0, 1, 0, 0, 0, 0]) + 0.01 * randn(12, 4, 6)
    assert LF.lidar(flat).item() == pytest.approx(2, rel=0.05)  # other directions hold nothing of an image
    assert LF.rank_me(flat.flatten(0, 1)).item() > 2.1
    assert LF.lidar(randn(2000, 4, 6)).item() == pytest.approx(6, rel=0.01)  # noise has all directions
    assert LF.lidar(torch.ones(5, 3, 4)).item() == pytest.approx(1, rel=1e-4)
    mixed = flat @ randn(6, 6, seed=2)
    assert LF.lidar(mixed, 1e-12).item() == pytest.approx(LF.lidar(flat, 1e-12).item(), rel=1e-5)


@pytest.mark.parametrize('shape', [(12, 40), (40, 12), (16, 16), (6, 5000)])
def test_gram_matrices_give_the_measures_of_the_singular_values(shape):
    """Also of features that fill few dimensions, and with an image that is 0."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x *= torch.logspace(0, -5, shape[1])
    x[3] = 0
    rank, spectrum = LF.rank_me_and_spectrum(x)
    assert rank.dtype == spectrum.dtype == torch.float32
    expected = LF.covariance_spectrum(x.double())
    assert rank.item() == pytest.approx(LF.rank_me(x.double()).item(), rel=1e-6)
    torch.testing.assert_close(spectrum.double(), expected, rtol=1e-5, atol=1e-9 * expected[0].item())


def test_the_same_images_other_embeddings_are_not_in_the_aligned_loss():
    q, k = randn(3, 4, 5).requires_grad_(), randn(3, 4, 5, seed=1)
    changed = k.clone()
    changed[0, 1] += 1  # may change only query (0, 1) and the queries of images 1 and 2
    first, second = (torch.autograd.grad(LF.aligned_info_nce(q, keys, 0.2), q)[0] for keys in (k, changed))
    moved = (first - second).abs().amax(2) > 0
    assert moved.tolist() == [[False, True, False, False], [True] * 4, [True] * 4]


@pytest.mark.parametrize(
    ('call', 'numbers'),
    [
        (lambda: LF.aligned_pooling(randn(2, 6, 3), randn(2, 4, 3), 4), ['D = 6', 'd = 4', '4']),
        (lambda: LF.aligned_pooling(randn(2, 6, 3), randn(2, 4, 3), 3), ['D = 6', 'd = 4', '3']),
        (lambda: LF.aligned_pooling(randn(2, 6, 3), randn(2, 4, 3), 0), ['0']),
        (lambda: LF.aligned_pooling(randn(2, 6, 3), randn(2, 4, 5), 2), ['(2, 6, 3)', '(2, 4, 5)']),
        (lambda: LF.aligned_pooling(randn(3, 6, 3), randn(2, 4, 3), 2), ['(3, 6, 3)', '(2, 4, 3)']),
        (lambda: LF.info_nce(randn(2, 3), randn(3, 3), randn(3, 4), 0.2), ['(2, 3)', '(3, 3)']),
        (lambda: LF.info_nce(randn(2, 3), randn(2, 3), randn(4, 3), 0.2), ['d = 3', '(4, 3)']),
        (lambda: LF.info_nce(randn(2, 3), randn(2, 3), randn(3, 4), 0.0), ['tau', '0.0']),
        (lambda: LF.aligned_info_nce(randn(2, 2, 3), randn(2, 2, 3), -0.1), ['tau', '-0.1']),
        (lambda: LF.aligned_info_nce(randn(1, 2, 3), randn(1, 2, 3), 0.2), ['at least 2', '1']),
        (lambda: LF.aligned_info_nce(randn(2, 2, 3), randn(2, 3, 3), 0.2), ['(2, 2, 3)', '(2, 3, 3)']),
        (lambda: LF.cosine_mse(randn(2, 3), randn(2, 4)), ['(2, 3)', '(2, 4)']),
        (lambda: LF.centroid_loss(randn(2, 3, 4), randn(3, 3, 4)), ['(2, 3, 4)', '(3, 3, 4)']),
        (lambda: LF.centroid_loss(randn(1, 3, 4), randn(1, 3, 4), True), ['at least 2', '(1, 3, 4)']),
        (lambda: LF.singular_value_loss(randn(3, 4)), ['(K, N, d)', '(3, 4)']),
        (lambda: LF.singular_value_loss(randn(2, 1, 4)), ['at least 2', '1']),
        (lambda: LF.brownian_loss(randn(2, 3, 4), randn(2, 4)), ['(3, 4)', '(2, 4)']),
        (lambda: LF.multi_crop_loss(randn(1, 3, 4), randn(2, 3, 4)), ['at least 2', '(1, 3, 4)']),
        (lambda: LF.multi_crop_loss(randn(3, 3, 4), randn(2, 2, 4)), ['(3, 3, 4)', '(2, 2, 4)']),
        (lambda: LF.assign_groups(randn(2, 3), randn(5, 4)), ['(2, 3)', '(5, 4)']),
        (lambda: LF.mutual_information(randn(2)), ['(2,)', '(l, Q)']),
        (lambda: LF.participation_ratio(randn(2, 3)), ['(2, 3)', '(d, d)']),
        (lambda: LF.update_groups(randn(5, 4), randn(2, 3), torch.tensor([0, 1]), 0.9), ['(2, 3)', '(5, 4)']),
        (lambda: LF.update_groups(randn(5, 3), randn(2, 3), torch.tensor([0, 1]), 1.5), ['beta', '1.5', '[0, 1]']),
        (lambda: LF.group_contrast(randn(2, 3), randn(5, 4), torch.tensor([0, 1]), 0.1), ['(2, 3)', '(5, 4)']),
        (lambda: LF.group_contrast(randn(2, 3), randn(5, 3), torch.tensor([0, 1]), 0.0), ['tau', '0.0']),
        (lambda: LF.alignment(randn(2, 3), randn(2, 4)), ['(2, 3)', '(2, 4)']),
        (lambda: LF.uniformity(randn(1, 3)), ['at least 2', '1']),
        (lambda: LF.covariance_spectrum(randn(1, 3)), ['at least 2', '1']),
        (lambda: LF.lidar(randn(6, 3)), ['(n, q, d)', '(6, 3)']),
        (lambda: LF.lidar(randn(6, 1, 3)), ['at least 2', '(6, 1, 3)']),
        (lambda: LF.lidar(randn(6, 2, 3), 0.0), ['delta', '0.0']),
        *[
            (lambda measure=measure: measure(randn(2, 3, 4)), ['(N, d)', '(2, 3, 4)'])
            for measure in (lambda x: LF.alignment(x, x), LF.uniformity, LF.rank_me, LF.covariance_spectrum)
        ],
    ],
)
def test_errors_name_the_numbers(call, numbers):
    with pytest.raises(ValueError) as error:
        call()
    assert all(number in str(error.value) for number in numbers), str(error.value)


def test_eq_6_of_msbreg_equals_eq_7():
    for p in (randn(3, 8, 5), 2 * randn(2, 4, 6) + 1):  # the second has fewer images than dimensions
        ours = naive.value_and_gradients(LF.singular_value_loss, (p,))
        eq_7 = naive.value_and_gradients(naive.singular_value_loss_by_values, (p,))
        assert naive.largest_difference(ours[:1], eq_7[:1]) < TOLERANCE
        if p.shape[1] > p.shape[2]:  # a zero singular value has no derivative
            assert naive.largest_difference(ours[1:], eq_7[1:]) < TOLERANCE


def test_centroid_loss_without_the_own_target_is_half_of_byols_at_two_views():
    p, z = randn(2, 4, 5), randn(2, 4, 5, seed=1)
    ours = naive.value_and_gradients(bind(LF.centroid_loss, dict(exclude_self=True)), (p, z))

    def half_of_byol(p: Tensor, z: Tensor) -> Tensor:
        return (naive.cosine_mse(p[0], z[1]) + naive.cosine_mse(p[1], z[0])) / 2

    assert naive.largest_difference(ours, naive.value_and_gradients(half_of_byol, (p, z))) < TOLERANCE
    with_own = naive.value_and_gradients(LF.centroid_loss, (p, z))
    assert naive.largest_difference(ours, with_own) > 1e-2


def test_two_large_views_alone_are_byol():
    p, z = randn(2, 4, 5), randn(2, 4, 5, seed=1)
    byol = LF.cosine_mse(p[0], z[1]) + LF.cosine_mse(p[1], z[0])
    assert LF.multi_crop_loss(p, z).item() == pytest.approx(byol.item(), abs=1e-12)


def test_multi_crop_is_a_sum_over_the_pairs_of_the_paper():
    """Of orthogonal predictions and targets, each pair contributes 2. Sec. 4.4 has V = 6."""
    p = torch.eye(16, dtype=torch.float64)[:8].unsqueeze(1)
    z = torch.eye(16, dtype=torch.float64)[8:].unsqueeze(1)
    assert LF.multi_crop_loss(p, z).item() == pytest.approx(2 * 56, abs=1e-12)
    assert LF.multi_crop_loss(p, z[:2]).item() == pytest.approx(2 * 14, abs=1e-12)


def test_singular_value_loss_does_not_lose_a_small_variance_around_a_large_mean():
    p = randn(1, 512, 4) + 300
    exact = LF.singular_value_loss(p)
    assert LF.singular_value_loss(p.float()).item() == pytest.approx(exact.item(), rel=1e-4)
    assert exact < 0.2


def test_features_go_to_the_closest_group():
    z, groups = randn(40, 6), 3 * randn(7, 6, seed=1)
    assert torch.equal(LF.assign_groups(z, groups), naive.assign_groups(z, groups))
    assert torch.equal(LF.assign_groups(100 * z, groups), LF.assign_groups(z, groups))


def test_moved_groups_are_the_rows_of_the_updated_groups():
    groups, z = torch.nn.functional.normalize(randn(50, 8), dim=1), randn(6, 8, seed=1)
    assignment = torch.tensor([4, 9, 4, 4, 49, 9])
    moved = LF.update_groups(groups, z, assignment, 0.5, moved_only=True)
    expected = naive.update_groups(groups, z, assignment, 0.5)[assignment]
    torch.testing.assert_close(moved.rows, expected, atol=TOLERANCE, rtol=0)
    assert torch.equal(moved.places, assignment)
    assert moved.counts.tolist() == [3, 2, 3, 3, 1, 2]
    assert torch.equal(moved.rows[0], moved.rows[2]) and torch.equal(moved.rows[1], moved.rows[5])


def test_contrast_with_moved_groups_is_that_with_the_updated_groups():
    """Values, and gradients in the predictions and in the features that move the groups, are equal."""
    groups, assignment = torch.nn.functional.normalize(randn(7, 4), dim=1), torch.tensor([4, 0, 4, 4, 6])
    other = torch.tensor([4, 1, 0, 4, 2, 6, 6])

    def gradients(loss_of) -> tuple[torch.Tensor, ...]:
        p, z = (3 * randn(7, 4, seed=1)).requires_grad_(), randn(5, 4, seed=2).requires_grad_()
        loss = loss_of(p, z)
        return loss.detach(), *torch.autograd.grad(3 * loss, (p, z))

    def fast(p, z):
        moved = LF.update_groups(groups, z, assignment, 0.3, moved_only=True)
        updated = groups.index_copy(0, moved.places, moved.rows.detach())
        loss = LF.group_contrast(p, updated, other, 0.2, moved)
        updated.fill_(float('nan'))  # which may happen before the backward pass
        return loss

    def explicit(p, z):
        return naive.group_contrast(p, naive.update_groups(groups, z, assignment, 0.3), other, 0.2)

    for ours, theirs in zip(gradients(fast), gradients(explicit)):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)


def test_one_beta_per_group():
    groups, z, assignment = randn(3, 4), randn(5, 4, seed=1), torch.tensor([0, 2, 0, 1, 2])
    beta = [0.2, 0.5, 0.9]
    ours = LF.update_groups(groups, z, assignment, torch.tensor(beta, dtype=torch.float64)[:, None])
    torch.testing.assert_close(ours, naive.update_groups(groups, z, assignment, beta), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize('counts', [[[3, 0, 1], [0, 0, 5]], [[2, 2], [1, 1]], [[4, 0], [0, 4]], [[7]]], ids=str)
def test_mutual_information_of_two_variables(counts):
    total = sum(map(sum, counts))
    expected = 0.0
    for row in counts:
        for j, count in enumerate(row):
            if count:
                expected += count / total * math.log(count * total / (sum(row) * sum(other[j] for other in counts)))
    assert LF.mutual_information(torch.tensor(counts)).item() == pytest.approx(expected, abs=1e-12)


def test_participation_ratio_of_a_covariance():
    x = randn(9, 4) * torch.tensor([3.0, 1.0, 1.0, 0.1], dtype=torch.float64)
    eigenvalues = torch.linalg.eigvalsh(x.T.cov()).tolist()
    expected = sum(eigenvalues) ** 2 / sum(value**2 for value in eigenvalues)
    assert LF.participation_ratio(x.T.cov()).item() == pytest.approx(expected, abs=1e-12)
    assert LF.participation_ratio(2 * torch.eye(5)) == 5
    assert LF.participation_ratio(torch.zeros(3, 3)) == 0


def test_entropy_of_the_classes_in_a_group():
    assignment, labels = torch.tensor([0, 0, 0, 0, 3, 1, 1, 1]), torch.tensor([2, 2, 0, 1, 1, 0, 0, 0])
    ours = LF.group_entropy(assignment, labels, 5)
    torch.testing.assert_close(ours, naive.group_entropy(assignment, labels, 5), equal_nan=True)
    assert ours.isnan().tolist() == [False, False, True, False, True]
    assert ours[1] == ours[3] == 0


def test_hsic_has_no_bias():
    """Against the sums of Song et al. 2012; over many small batches of independent embeddings the mean is zero."""
    x = randn(3, 7, 5)
    assert naive.largest_difference([LF.hsic(x)], [references_mpcl.hsic(x)]) < 1e-12
    assert torch.equal(LF.hsic(randn(2, 3, 5)), torch.zeros(2, 2).double())
    batches = torch.stack([LF.hsic(randn(2, 8, 64, seed=seed)) for seed in range(300)]).mean(0)
    assert abs(batches[0, 1]) < 0.03 * batches[0, 0]
    with pytest.raises(ValueError, match=r'\(M, N, d\), got \(3, 4\)'):
        LF.hsic(randn(3, 4))


def test_cka_of_equal_turned_and_independent_embeddings():
    x = randn(1, 40, 6)
    turned = x @ torch.linalg.qr(randn(6, 6, seed=1))[0]
    values = LF.cka(LF.hsic(torch.cat([x, turned, -3 * x, randn(1, 40, 6, seed=2)])))
    torch.testing.assert_close(values[:3, :3], torch.ones(3, 3).double())
    assert values[3, 3].item() == pytest.approx(1) and values[3, :3].abs().max() < 0.1
    assert LF.cka(LF.hsic(torch.cat([x, torch.ones_like(x)])))[0, 1].isnan()

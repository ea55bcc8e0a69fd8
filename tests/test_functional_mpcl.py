"""Every function of ``lewel_plugins.functional`` that MPCL needs, against ``references_mpcl.py`` in float64."""

import math

import pytest
import torch
from helpers import references as naive
from helpers import references_mpcl as naive_mpcl
from test_functional import bind, randn
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.functional import _fused
from lewel_plugins.functional.mpcl import PCR_FORMS

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


def batch_info_nce(q: Tensor, keys: Tensor, tau: float, first: int = 0) -> Tensor:
    return LF.nce(*LF.batch_similarities(q, keys, tau, first))


def barlow_twins(x: Tensor, y: Tensor, redundancy_weight: float = 0.0051) -> Tensor:
    return LF.barlow_twins(LF.standardize(x), LF.standardize(y), redundancy_weight)


OURS = dict(batch_info_nce=batch_info_nce, barlow_twins=barlow_twins)
THREE = (randn(3, 4, 5), randn(3, 4, 5, seed=1))
CASES = [
    ('info_nce', (*THREE, 3 * randn(3, 5, 7, seed=2)), dict(tau=0.2)),
    ('info_nce', (randn(1, 2, 3), randn(1, 2, 3, seed=1), randn(1, 3, 4, seed=2)), dict(tau=1.0)),
    ('batch_info_nce', THREE, dict(tau=0.2)),
    ('batch_info_nce', (randn(2, 3, 4), randn(2, 9, 4, seed=1)), dict(tau=1.0, first=3)),
    ('standardize', (randn(2, 5, 3) + 7,), {}),
    ('barlow_twins', (randn(3, 6, 4) + 2, randn(3, 6, 4, seed=1)), {}),
    ('barlow_twins', (randn(1, 5, 3), randn(1, 5, 3, seed=1)), dict(redundancy_weight=0.3)),
    ('barlow_twins', (randn(2, 3, 8) + 1, randn(2, 3, 8, seed=1)), {}),
    ('projector_cosines', (randn(3, 4, 5),), {}),
    ('projector_regularization', (randn(4, 3, 5),), {}),
    ('projector_regularization', (3 * randn(2, 6, 4) + 1,), {}),
    ('projector_regularization', (randn(1, 3, 5),), {}),
    ('projector_regularization', (randn(4, 3, 5),), dict(form='cosine')),
    ('projector_regularization', (3 * randn(2, 1, 6),), dict(form='cosine')),
    ('projector_regularization', (randn(4, 3, 5),), dict(form='squared_cosine')),
    ('projector_regularization', (randn(3, 6, 4) + 1,), dict(form='within_projector')),
    ('projector_regularization', (2 * randn(1, 3, 5),), dict(form='within_projector')),
    ('training_balance', (randn(4).sigmoid(),), {}),
    ('training_balance', (randn(8).sigmoid(),), dict(epsilon=0.1)),
]
IDS = [f'{name}-{i}' for i, (name, _, _) in enumerate(CASES)]


def ours(case: tuple):
    return bind(OURS.get(case[0]) or getattr(LF, case[0]), case[2])


def differences(case: tuple) -> dict[str, float]:
    name, inputs, keywords = case
    actual = naive.value_and_gradients(ours(case), inputs)
    expected = naive.value_and_gradients(bind(getattr(naive_mpcl, name), keywords), inputs)
    assert all(a.shape == b.shape for a, b in zip(actual, expected))
    return dict(
        value=naive.largest_difference(actual[:1], expected[:1]),
        gradient=naive.largest_difference(actual[1:], expected[1:]),
    )


@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_value_and_gradient_equal_the_naive_loops(case):
    worst = differences(case)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_gradcheck(case):
    leaves = [x.clone().requires_grad_() for x in case[1]]
    assert torch.autograd.gradcheck(ours(case), leaves)


@pytest.mark.parametrize('case', CASES, ids=IDS)
def test_low_precision_and_autocast_are_computed_in_float32(case):
    low = [x.bfloat16() for x in case[1]]
    exact = ours(case)(*[x.double() for x in low])
    assert ours(case)(*low).dtype == torch.float32
    torch.testing.assert_close(ours(case)(*low).double(), exact, rtol=1e-5, atol=1e-5)
    single = [x.float().requires_grad_() for x in low]
    with torch.autocast('cpu', torch.bfloat16):
        value = ours(case)(*single)
    torch.testing.assert_close(value.detach().double(), exact, rtol=1e-5, atol=1e-5)
    value.sum().backward()
    assert all(x.grad.isfinite().all() for x in single)


@pytest.mark.parametrize('shape', [(3, 6, 4), (6, 4)], ids=str)
@pytest.mark.parametrize('tau', [0.2, 1.0])
@pytest.mark.parametrize('block', [2, 4, 100], ids='keys {}'.format)  # blocks of the queue
def test_info_nce_in_blocks(shape, tau, block, monkeypatch):
    """Value, accuracy and gradients are equal for any size of the blocks of the queue."""
    monkeypatch.setattr(_fused, '_BLOCK', block * math.prod(shape[:-1]))
    q, k, queue = randn(*shape), randn(*shape, seed=1), randn(*shape[:-2], 4, 9, seed=2)
    k, unit = k + 2 * q, torch.nn.functional.normalize(queue, dim=-2)
    tasks = lambda *x: x if len(shape) == 3 else tuple(part[None] for part in x)  # noqa: E731
    for keys, unit_queue in ((queue, False), (unit, True)):
        ours = naive.value_and_gradients(lambda *x: LF.info_nce(*x, tau, unit_queue=unit_queue).sum(), [q, k, keys])  # noqa: B023
        theirs = naive.value_and_gradients(lambda *x: naive_mpcl.info_nce(*tasks(*x), tau).sum(), [q, k, keys])
        if unit_queue:  # naive gradients are tangential
            radial = (ours[3] * unit).sum(-2, keepdim=True)
            ours[3] = ours[3] - radial * unit
        assert naive.largest_difference(ours, theirs) < 1e-12
    loss, accuracy = LF.info_nce_and_accuracy(q, k, unit, tau, unit_queue=True)
    assert loss.shape == shape[:-2] and not accuracy.requires_grad
    assert accuracy.flatten().tolist() == pytest.approx(naive_mpcl.queue_accuracy(*tasks(q, k, queue)))
    arguments = [x.clone().requires_grad_() for x in (q, k, unit)]
    assert torch.autograd.gradcheck(lambda *x: LF.info_nce(*x, tau, unit_queue=True), arguments)


def test_the_queue_may_change_before_the_backward_pass():
    q, k, queue = randn(2, 3, 4).requires_grad_(), randn(2, 3, 4, seed=1), randn(2, 4, 5, seed=2)
    (expected,) = torch.autograd.grad(LF.info_nce(q, k, queue, 0.2, unit_queue=True).sum(), q)
    loss = LF.info_nce(q, k, queue, 0.2, unit_queue=True)
    queue.zero_()
    assert torch.equal(torch.autograd.grad(loss.sum(), q)[0], expected)
    with torch.autocast('cpu', torch.bfloat16):
        assert LF.info_nce(q.bfloat16(), k.bfloat16(), queue.float(), 0.2).dtype == torch.float32


def test_second_derivatives_of_fused_losses_are_refused():
    q, k, queue = randn(3, 4).requires_grad_(), randn(3, 4, seed=1), randn(4, 5, seed=2)
    for loss in (LF.info_nce(q, k, queue, 0.2), LF.group_contrast(q, k, torch.tensor([0, 2, 1]), 0.2)):
        with pytest.raises(RuntimeError, match='has no second derivative'):
            torch.autograd.grad(loss, q, create_graph=True)


@pytest.mark.parametrize(
    ('loss', 'inputs'),
    [
        (LF.barlow_twins, (randn(2, 5, 3), randn(2, 5, 3, seed=1))),
        (barlow_twins, (randn(2, 5, 3) + 1, randn(2, 5, 3, seed=1))),
        *[(bind(LF.projector_regularization, dict(form=form)), (2 * randn(3, 5, 4) + 1,)) for form in PCR_FORMS],
        (LF.singular_value_loss, (2 * randn(2, 4, 3) + 1,)),
        (bind(LF.singular_value_loss, dict(normalize=True)), (randn(2, 4, 3) + 1,)),
    ],
    ids=['barlow_twins', 'barlow_twins standardized', *PCR_FORMS, 'singular_value_loss', 'singular_value_loss unit'],
)
def test_second_derivatives_on_one_rank(loss, inputs):
    assert torch.autograd.gradgradcheck(loss, [x.clone().requires_grad_() for x in inputs])


def test_second_derivatives_over_ranks_are_refused():
    x, y = randn(2, 3, 4).requires_grad_(), randn(2, 3, 4, seed=1)
    x_all = torch.cat([x.detach(), y], 1)
    for loss in (
        LF.barlow_twins(x, y, x_all=x_all, y_all=x_all).sum(),
        LF.projector_regularization(x, z_all=x_all, standardized=True),
        LF.singular_value_loss(x, sum_over_ranks=lambda s: s),
    ):
        torch.autograd.grad(loss, x, retain_graph=True)
        with pytest.raises(RuntimeError, match=r'(x_all|z_all|sum_over_ranks) has no second derivative: .*ranks'):
            torch.autograd.grad(loss, x, create_graph=True)


def test_info_nce_does_not_overflow():
    q = torch.eye(4, 8).requires_grad_()
    loss = LF.info_nce(q, -q.detach(), q.detach().T, 1e-3)
    assert loss.item() == pytest.approx(2000, rel=1e-5)
    loss.backward()
    assert q.grad.isfinite().all()


def test_m_tasks_are_m_calls():
    q, k, queue = randn(3, 4, 5), randn(3, 4, 5, seed=1), randn(3, 5, 6, seed=2)
    single = torch.stack([LF.info_nce(*task, 0.2) for task in zip(q, k, queue)])
    torch.testing.assert_close(LF.info_nce(q, k, queue, 0.2), single, rtol=0, atol=1e-12)


def test_accuracies_are_those_of_loops():
    q, k = randn(3, 6, 4), randn(3, 6, 4, seed=1)
    k = k + 1.5 * q  # some positives rank first, some do not
    queue = randn(3, 4, 5, seed=2)
    _, in_queue = LF.info_nce_and_accuracy(q, k, queue, 0.2)
    assert in_queue.tolist() == pytest.approx(naive_mpcl.queue_accuracy(q, k, queue))
    assert in_queue.min() > 0 and in_queue.max() < 1
    in_batch = LF.ranked_first(*LF.batch_similarities(q, k, 0.2))
    assert in_batch.tolist() == pytest.approx(naive_mpcl.batch_accuracy(q, k))
    assert in_batch.min() > 0 and in_batch.max() < 1


def test_a_tie_is_a_miss_and_accuracy_has_no_gradient():
    q = torch.ones(1, 3, 4, requires_grad=True)
    accuracy = LF.ranked_first(*LF.batch_similarities(q, torch.ones(1, 3, 4), 0.2))
    assert accuracy.tolist() == [0]
    assert not accuracy.requires_grad


def test_a_ranks_queries_against_all_ranks_keys():
    q, keys = randn(2, 6, 4), randn(2, 6, 4, seed=1)
    whole = batch_info_nce(q, keys, 0.2)
    parts = [batch_info_nce(q[:, r : r + 2], keys, 0.2, first=r) for r in (0, 2, 4)]
    torch.testing.assert_close(torch.stack(parts).mean(0), whole, rtol=0, atol=1e-12)


def test_pcr_known_values():
    z = torch.eye(4, dtype=torch.float64).view(4, 1, 4)
    cosine = bind(LF.projector_regularization, dict(form='cosine'))
    assert cosine(z).item() == 0
    assert cosine(z[:1].expand(4, 1, 4)).item() == pytest.approx(1)
    opposed = torch.stack([z[0], -z[0]])
    assert cosine(opposed).item() == pytest.approx(-1)
    assert LF.projector_regularization(opposed, 'squared_cosine').item() == pytest.approx(1)


def test_only_cross_correlations_show_redundant_projectors():
    """One embedding, rotated M times: the correlation is that of equal projectors, and the cosine is not."""
    z = randn(1, 200, 8)
    rotations = torch.linalg.qr(randn(3, 8, 8, seed=1))[0]
    y = LF.standardize(torch.linalg.qr(z)[0])  # uncorrelated channels stay so in any rotation
    equal, turned, independent = y.expand(3, -1, -1), y @ rotations, randn(3, 200, 8, seed=2)
    values = [LF.projector_regularization(x).item() for x in (equal, turned, independent)]
    assert values[:2] == pytest.approx([1, 1], abs=1e-2) and values[2] == pytest.approx(8 / 200, rel=0.2)
    cosines = [LF.projector_regularization(x, 'cosine').item() for x in (equal, turned)]
    assert cosines[0] == pytest.approx(1) and abs(cosines[1]) < 0.3
    # The control sees correlated channels, and no redundant projectors.
    within = [LF.projector_regularization(x, 'within_projector').item() for x in (equal, y[..., [0] * 8])]
    assert within[0] < 1e-2 and within[1] == pytest.approx(7, abs=1e-2)


@pytest.mark.parametrize('form', ['cross_correlation', 'cosine', 'squared_cosine'])
def test_one_projector_has_no_pcr(form):
    value, gradient = naive.value_and_gradients(bind(LF.projector_regularization, dict(form=form)), [randn(1, 30, 9)])
    assert value.item() == 0 and not gradient.any()


@pytest.mark.parametrize('form', ['cross_correlation', 'within_projector'])
@pytest.mark.parametrize('ranks', [2, 4])
def test_rows_of_ranks_add_up_to_pcr_of_the_batch(form, ranks):
    """Each rank has the gradient of its own rows, if every rank's sum has all of them."""
    y = LF.standardize(randn(3, 8, 5) + 1)
    leaf = y.clone().requires_grad_()
    value = LF.projector_regularization(leaf, form, standardized=True)
    (gradient,) = torch.autograd.grad(value, leaf)
    parts = [part.clone().requires_grad_() for part in y.chunk(ranks, 1)]

    sums: list[list[Tensor]] = []
    for part in parts:
        own: list[Tensor] = []
        LF.projector_regularization(part, form, y, lambda x, own=own: own.append(x) or x, standardized=True)
        sums.append(own)
    totals = [sum(terms) for terms in zip(*sums)]
    whole = LF.projector_regularization(parts[0], form, y, lambda x: totals.pop(0), standardized=True)
    assert whole.item() == pytest.approx(value.item(), abs=1e-12)
    ours = torch.cat(torch.autograd.grad(whole, parts), 1)
    assert naive.largest_difference([ours], [gradient]) < 1e-12


def test_weights_of_a_worked_example():
    """Eq. 3 by hand: accuracies 0.9 and 0.4, ε = 0.5 → e^0.2 and e^1.2, so w = 1/(1 + e) and e/(1 + e)."""
    weights = LF.training_balance(torch.tensor([0.9, 0.4], dtype=torch.float64))
    assert weights.tolist() == pytest.approx([0.2689414213699951, 0.7310585786300049], abs=1e-12)
    assert LF.training_balance(torch.full((4,), 0.3)).tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize('literal', [False, True])
def test_the_total_is_eq_4(literal):
    losses, weights = randn(3).exp(), torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    pcr = randn(3, seed=1)  # one value per projector
    contrastive, regularization = LF.projector_terms(losses, weights, pcr.mean(), 0.01, literal)
    by_hand = sum(w * loss for w, loss in zip(weights.tolist(), losses.tolist())) / (3 if literal else 1)
    assert contrastive.item() == pytest.approx(by_hand)
    assert regularization.item() == pytest.approx(0.01 / 3 * sum(pcr.tolist()))


def test_zero_and_equal_embeddings_have_finite_values_and_gradients():
    for function, inputs in (
        (barlow_twins, (torch.ones(2, 3, 4), torch.zeros(2, 3, 4))),
        *[(bind(LF.projector_regularization, dict(form=form)), (torch.zeros(2, 3, 4),)) for form in PCR_FORMS],
        (bind(batch_info_nce, dict(tau=0.2)), (torch.zeros(2, 3, 4), torch.ones(2, 3, 4))),
    ):
        value, *gradients = naive.value_and_gradients(function, inputs)
        assert value.isfinite().all() and all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(
    ('call', 'numbers'),
    [
        (lambda: LF.info_nce(randn(2, 3, 4), randn(2, 3, 4), randn(3, 4, 5), 0.2), ['d = 4', '(3, 4, 5)']),
        (lambda: LF.batch_similarities(randn(2, 3, 4), randn(2, 3, 5), 0.2), ['(2, 3, 4)', '(2, 3, 5)']),
        (lambda: LF.batch_similarities(randn(2, 3, 4), randn(2, 6, 4), 0.2, 4), ['row 4', '(2, 6, 4)']),
        (lambda: LF.batch_similarities(randn(2, 1, 4), randn(2, 1, 4), 0.2), ['at least 2', '1']),
        (lambda: LF.batch_similarities(randn(2, 3, 4), randn(2, 3, 4), 0.0), ['tau', '0.0']),
        (lambda: LF.barlow_twins(randn(2, 3), randn(2, 4)), ['(2, 3)', '(2, 4)']),
        (lambda: LF.barlow_twins(*[randn(2, 3)] * 2, x_all=randn(2, 3)), ['x_all', 'y_all']),
        (lambda: LF.projector_regularization(randn(2, 3, 4), 'sine'), ['cross_correlation, cosine', "'sine'"]),
        (lambda: LF.projector_regularization(randn(2, 3, 4), z_all=randn(2, 6, 4)), ['standardized=True']),
        (lambda: LF.training_balance(randn(3), 0.0), ['epsilon', '0.0']),
        (lambda: LF.projector_terms(randn(3), randn(2), randn(1)[0]), ['(3,)', '(2,)']),
    ],
)
def test_errors_name_the_numbers(call, numbers):
    with pytest.raises(ValueError) as error:
        call()
    assert all(number in str(error.value) for number in numbers), str(error.value)

"""MPCL on its frameworks, with PTB: one process against 2 and 4 gloo ranks on the same global batch, in float64.

BN in the networks is in evaluation mode, or synchronized, where results are compared, as in ``test_parity.py``.
"""

from __future__ import annotations

import pytest
import torch
from helpers import references as naive
from helpers import tiny, tiny_mpcl
from helpers.ranks import on_ranks
from helpers.tiny_mpcl import METHODS
from test_parity import GLOBAL_BATCH, TOLERANCE, chunk, optimizer, snapshot
from torch.nn.parallel import DistributedDataParallel

from lewel_plugins.models.batch_norm import use_sync_batch_norm

pytestmark = pytest.mark.core

STEPS, REWEIGHTED = 4, 1  # step after which the weights change
NORMS = ('eval', 'sync', 'train')  # how BN works


def build(method: str, norm: str = 'eval') -> tiny_mpcl.MPCL:
    settings = dict(queue_len=GLOBAL_BATCH + 3) if method == 'mpcl_moco' else {}
    model = tiny_mpcl.build(method, **settings).train(norm != 'eval')
    return use_sync_batch_norm(model, convert=True) if norm == 'sync' else model


def train(model: tiny_mpcl.MPCL, loss_of_step) -> list[dict]:
    """Train, and return loss, gradients and whole state of every step."""
    model.before_training()
    if hasattr(model, 'teacher'):  # unlike the online network but close to it, so that some positives are ranked first
        generator = torch.Generator().manual_seed(6)
        for parameter in model.teacher.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    sgd, history = optimizer(model), []
    for step in range(STEPS):
        loss = loss_of_step(tiny.images(GLOBAL_BATCH, seed=step))
        sgd.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        sgd.step()
        model.after_optimizer_step((step + 1) / STEPS)
        actual = model.head.balance.rebalance(0.1) if step == REWEIGHTED else None
        history.append(dict(loss=loss.detach(), gradients=gradients, state=snapshot(model), actual=actual))
    return history


def train_rank(rank: int, world_size: int) -> dict[str, list]:
    results = {}
    for method in METHODS:
        for norm in NORMS:
            model = build(method, norm)
            wrapped = DistributedDataParallel(model, broadcast_buffers=False)
            results[f'{method} {norm}'] = train(
                model,
                lambda views: sum(wrapped(chunk(views, rank, world_size), None, mode='loss').values()),  # noqa: B023
            )
    return results


@pytest.fixture(scope='module', params=[2, 4])
def ranks(request, tmp_path_factory) -> list[dict]:
    return on_ranks(request.param, tmp_path_factory.mktemp('ranks'), train_rank, request.param)


def differences(ranks: list[dict], method: str, norm: str) -> dict[str, float]:
    """Return the largest differences over steps and ranks: mean loss, gradients averaged by DDP, whole state."""
    model = build(method, norm)
    worst = dict(loss=0.0, gradient=0.0, state=0.0)
    for step, expected in enumerate(train(model, lambda views: sum(model.loss(views).values()))):
        loss = torch.stack([r[f'{method} {norm}'][step]['loss'] for r in ranks]).mean()
        worst['loss'] = max(worst['loss'], (loss - expected['loss']).abs().item())
        for result in ranks:
            ours = result[f'{method} {norm}'][step]
            difference = naive.largest_difference(ours['gradients'], expected['gradients'])
            worst['gradient'] = max(worst['gradient'], difference)
            assert ours['state'].keys() == expected['state'].keys()
            for name, value in ours['state'].items():
                if name in ('head.balance.images', 'head.balance.correct', 'head.balance.cosines'):  # means over ranks
                    value = value * len(ranks)
                elif name == 'head.balance.hsic':  # every rank compares its own images
                    continue
                worst['state'] = max(worst['state'], naive.largest_difference([value], [expected['state'][name]]))
            if expected['actual']:
                assert ours['actual']['weight'] == pytest.approx(expected['actual']['weight'], abs=1e-6)
                assert ours['actual']['accuracy'] == pytest.approx(expected['actual']['accuracy'], abs=1e-6)
    return worst


@pytest.mark.parametrize('norm', ['eval', 'sync'])
@pytest.mark.parametrize('method', METHODS)
def test_ranks_do_the_step_of_one_process(ranks, method, norm):
    worst = differences(ranks, method, norm)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('method', METHODS)
def test_all_ranks_have_the_same_state_bit_for_bit(ranks, method, norm):
    """Only running statistics of a teacher in training mode may differ, because nothing reads them."""
    for other in ranks[1:]:
        for first, second in zip(ranks[0][f'{method} {norm}'], other[f'{method} {norm}']):
            names = [n for n in first['state'] if not (n.startswith('teacher.') and 'running' in n)]
            assert all(torch.equal(first['state'][name], second['state'][name]) for name in names)
            assert str(first['actual']) == str(second['actual'])  # CKA of fewer than four images is NaN


def test_the_comparison_has_something_to_compare(ranks):
    for method in METHODS:
        history = [r[f'{method} eval'] for r in ranks]
        zeros = sum(int(g.abs().max() < 1e-9) for g in history[0][0]['gradients'])
        # The units of the last hidden layer are on for all images or for none: standardization removes their shift.
        assert zeros == int(method == 'mpcl_barlow_twins')
        weights = [step['state']['head.balance.weights'] for step in history[0]]
        assert weights[0].tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 2])
        assert not torch.equal(weights[REWEIGHTED - 1], weights[REWEIGHTED])
        assert weights[REWEIGHTED].max() - weights[REWEIGHTED].min() > 1e-2, method
    losses = [r['mpcl_moco eval'][0]['loss'].item() for r in ranks]
    assert max(losses) - min(losses) > 1e-4  # the chunks differ

"""One process against 2 and 4 gloo ranks on the same global batch of float64 images.

BN is in evaluation mode, or synchronized, wherever results are compared, so that no statistic depends on the split of
the batch and only rounding differs. L_a of LEWEL_M, which the paper defines on the local batch, is compared with the
mean over chunks.
"""

from __future__ import annotations

import pytest
import torch
from helpers import references as naive
from helpers import tiny
from helpers.ranks import on_ranks
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lewel_plugins import functional as LF
from lewel_plugins.hooks import RegularizerHook
from lewel_plugins.models import LEWELM, BYOLMultiCrop, MomentumPretrainer, MSBReg, SMoG
from lewel_plugins.models.batch_norm import use_sync_batch_norm
from lewel_plugins.models.momentum_encoder import running_statistics
from lewel_plugins.seeding import seed_shared_generator

pytestmark = pytest.mark.core

GLOBAL_BATCH, STEPS, TOLERANCE = 8, 3, 1e-10
METHODS = (
    *('lewel_b', 'lewel_m', 'lewel_m-eman', 'lewel_b+regularizers', 'msbreg', 'byol_multi_crop'),
    *('lewel_b-sync', 'msbreg-sync', 'byol_multi_crop-sync', 'smog-sync'),
    *('smog-random', 'smog-average', 'smog-detached', 'smog'),
)
REGULARIZERS = [
    dict(type='lewel_plugins.SingularValueLoss', weight=4e-3),
    dict(type='lewel_plugins.BrownianLoss', weight=0.5),
]


def build(method: str) -> MomentumPretrainer:
    """Build a model in evaluation mode, or with SyncBN.

    The length of the queue is no multiple of the batch, so that it wraps.
    """
    settings: dict = dict(queue_len=GLOBAL_BATCH + 3) if method.startswith('lewel_m') else {}
    method, regularizers = method.partition('+')[::2]
    method, switch = method.partition('-')[::2]
    if switch == 'detached':
        settings['detach_groups'] = True
    elif switch == 'sync':
        return use_sync_batch_norm(getattr(tiny, method)(momentum=0.3).train(), convert=True)
    elif switch:
        settings['update' if method == 'smog' else 'teacher_norm'] = switch
    model = getattr(tiny, method)(momentum=0.3, **settings).eval()
    if regularizers:
        RegularizerHook('head.q', REGULARIZERS).attach(model)
    if regularizers or method == 'msbreg':
        tiny.shrink(model)
    return model


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05, momentum=0.9)


def chunk(views: list[Tensor], rank: int, world_size: int) -> list[Tensor]:
    return [view.chunk(world_size)[rank] for view in views]


def deal(views: list[Tensor], rank: int, world_size: int) -> list[Tensor]:
    """Deal the images out in turn, as samplers do, because noise depends on the place in the global batch."""
    return [view[rank::world_size] for view in views]


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    state = model.state_dict()
    if isinstance(model, SMoG):
        state['agreed'] = model.head.groups.agreed
    return {name: value.clone() for name, value in state.items()}


def train(model: MomentumPretrainer, loss_of_step) -> list[dict]:
    """Train, and return loss, gradients and whole state of every step."""
    num_views = 3 if isinstance(model, (MSBReg, BYOLMultiCrop)) else 2
    model.before_training()
    if isinstance(model, SMoG):
        model.cache.start(STEPS)
    tiny.randomize(model.teacher, seed=3)  # otherwise it equals the online network in the first step
    sgd, history = optimizer(model), []
    for step in range(STEPS):
        seed_shared_generator(step)
        loss = loss_of_step(tiny.images(GLOBAL_BATCH, num_views, seed=step))
        sgd.zero_grad()
        loss.backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        sgd.step()
        model.after_optimizer_step((step + 1) / STEPS)
        history.append(dict(loss=loss.detach(), gradients=gradients, state=snapshot(model)))
    return history


def train_rank(rank: int, world_size: int) -> dict[str, list]:
    results: dict[str, list] = {}
    for method in METHODS:
        model = build(method)
        wrapped = DistributedDataParallel(model, broadcast_buffers=False)
        part = chunk if isinstance(model, LEWELM) else deal  # its queue then has the order of one process
        results[method] = train(
            model,
            lambda views: sum(wrapped(part(views, rank, world_size), None, mode='loss').values()),  # noqa: B023
        )
    results['reset'] = reset(model)
    results['statistics'] = train_mode_statistics(rank, world_size)
    return results


def reset(model: SMoG) -> dict:
    """Run K-means on the features of all steps."""
    model.head.groups.cluster(*model.cache.features(), seed=1)
    return dict(groups=model.head.groups.rows.clone(), members=model.head.groups.members.clone())


def train_mode_statistics(rank: int, world_size: int) -> list[Tensor]:
    """Return the running statistics, with those of the teacher, after a step in training mode on a chunk."""
    model = tiny.lewel_b(momentum=0.3, teacher_norm='eman').train()
    with torch.no_grad():
        model.loss(chunk(tiny.images(GLOBAL_BATCH), rank, world_size))
    model.after_optimizer_step(0.5)
    return [t.clone() for t in running_statistics(model)]


def train_one_process(method: str, world_size: int, model: nn.Module | None = None) -> list[dict]:
    model = model or build(method)

    def loss(views: list[Tensor]) -> Tensor:
        if not isinstance(model, LEWELM):
            return sum(model(views, None, mode='loss').values())
        z, aligned = model.neck(model.backbone(views[0]))
        with torch.no_grad():
            key, key_aligned = model.teacher(views[1])
        global_loss = LF.info_nce(z, key, model.queue.keys, model.head.temperature)
        local = [
            LF.aligned_info_nce(a, k, model.head.temperature)
            for a, k in zip(aligned.chunk(world_size), key_aligned.chunk(world_size))
        ]
        model.queue.enqueue(key)
        return (1 - model.head.beta) * global_loss + model.head.beta * sum(local) / world_size

    return train(model, loss)


@pytest.fixture(scope='module', params=[2, 4])
def ranks(request, tmp_path_factory) -> list[dict]:
    return on_ranks(request.param, tmp_path_factory.mktemp('ranks'), train_rank, request.param)


def differences(ranks: list[dict], method: str) -> dict[str, float]:
    """Return the largest differences over steps and ranks: mean loss, gradients averaged by DDP, whole state."""
    worst = dict(loss=0.0, gradient=0.0, state=0.0)
    for step, expected in enumerate(train_one_process(method, len(ranks))):
        loss = torch.stack([r[method][step]['loss'] for r in ranks]).mean()
        worst['loss'] = max(worst['loss'], (loss - expected['loss']).abs().item())
        for result in ranks:
            ours = result[method][step]
            difference = naive.largest_difference(ours['gradients'], expected['gradients'])
            worst['gradient'] = max(worst['gradient'], difference)
            assert ours['state'].keys() == expected['state'].keys()
            difference = naive.largest_difference(list(ours['state'].values()), list(expected['state'].values()))
            worst['state'] = max(worst['state'], difference)
    return worst


@pytest.mark.sampled(3)
@pytest.mark.parametrize('method', METHODS)
def test_ranks_do_the_step_of_one_process(ranks, method):
    worst = differences(ranks, method)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('method', METHODS)
def test_all_ranks_have_the_same_state_bit_for_bit(ranks, method):
    for other in ranks[1:]:
        for first, second in zip(ranks[0][method], other[method]):
            assert all(torch.equal(first['state'][name], second['state'][name]) for name in first['state'])


def test_the_comparison_has_something_to_compare(ranks):
    for method in METHODS:
        losses = [r[method][0]['loss'].item() for r in ranks]
        assert max(losses) - min(losses) > 1e-4  # the chunks differ
        assert all(g.abs().max() > 1e-6 for g in ranks[0][method][0]['gradients'])
    with_forces, without = (train_one_process(method, 1)[0]['loss'] for method in ('lewel_b+regularizers', 'lewel_b'))
    assert (with_forces - without).abs() > 1e-3
    state = [step['state'] for step in ranks[0]['lewel_m']]
    assert not torch.equal(state[0]['queue.keys'], state[1]['queue.keys'])
    assert state[1]['queue.position'].item() == 2 * GLOBAL_BATCH - (GLOBAL_BATCH + 3)


def test_all_ranks_reset_to_the_groups_of_one_process(ranks):
    model = build('smog')
    train_one_process('smog', 1, model)
    trained = model.head.groups.rows.clone()
    expected = reset(model)
    for result in ranks:
        assert torch.equal(result['reset']['members'], expected['members'])
        assert torch.equal(result['reset']['groups'], ranks[0]['reset']['groups'])
        # The cache and K-means are float32.
        torch.testing.assert_close(result['reset']['groups'], expected['groups'], rtol=0, atol=1e-6)
    assert (expected['groups'] - trained).abs().max() > 0.1
    assert expected['members'].sum() == STEPS * GLOBAL_BATCH


def test_running_statistics_are_the_mean_over_ranks_and_the_eman_teachers_follow(ranks):
    world_size = len(ranks)
    alone = []  # statistics of one process after the batch of each rank
    for rank in range(world_size):
        model = tiny.lewel_b(momentum=0.3, teacher_norm='eman').train()
        with torch.no_grad():
            model.loss(chunk(tiny.images(GLOBAL_BATCH), rank, world_size))
        online = nn.ModuleList([module for name, module in model.named_children() if name != 'teacher'])
        alone.append([t.clone() for t in running_statistics(online)])
    expected = [torch.stack(same).mean(0) for same in zip(*alone)]
    for result in ranks:
        ours = result['statistics']
        model = tiny.lewel_b(momentum=0.3, teacher_norm='eman')
        names = [n for n, _ in model.named_buffers() if 'running' in n]
        online = [t for n, t in zip(names, ours) if not n.startswith('teacher.')]
        teacher = [t for n, t in zip(names, ours) if n.startswith('teacher.')]
        assert naive.largest_difference(online, expected) < TOLERANCE
        before = running_statistics(model.teacher)
        alpha = naive.cosine_alpha(0.7, 0.5)
        averaged = [naive.ema(old, new, alpha) for old, new in zip(before, online)]  # backbone, g, p come first
        assert naive.largest_difference(teacher, averaged) < TOLERANCE

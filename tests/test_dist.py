"""Values and gradients of collectives on 2 and 4 gloo ranks equal those of one process that holds all rows."""

import pytest
import torch
from helpers import references as naive
from helpers.ranks import on_ranks
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lewel_plugins import dist

pytestmark = pytest.mark.core

ROWS, WIDTH = 3, 4
SHUFFLED_SIZES = (1, 2, 3, 5, 7, 8)


def rows_of(rank: int, rows: int = ROWS) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)


def loss_of(rank: int, everything: Tensor) -> Tensor:
    """Apply a different function to the rows of all ranks on every rank."""
    weights = torch.cos(torch.arange(everything.numel(), dtype=everything.dtype) * (rank + 1))
    return (everything.flatten().sin() * weights).sum()


def layer() -> nn.Linear:
    module = nn.Linear(WIDTH, WIDTH).double()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(10 + i), dtype=p.dtype))
    return module


def check_all(rank: int) -> dict:
    out: dict = dict(rank=dist.rank(), world_size=dist.world_size())
    for name, collective in (('gather', dist.all_gather), ('sum', dist.all_reduce_sum)):
        x = rows_of(rank).requires_grad_()
        value = collective(x)
        loss_of(rank, value).backward()
        plain = collective(rows_of(rank))
        out[name] = dict(value=value.detach(), gradient=x.grad, plain=plain, plain_grad=plain.requires_grad)
        # A parameter behind the collective, averaged by DDP.
        model = DistributedDataParallel(layer())
        loss_of(rank, collective(model(rows_of(rank)))).backward()
        out[name]['parameters'] = [p.grad for p in model.module.parameters()]
    for same_loss in (False, True):
        x = rows_of(rank).requires_grad_()
        value = dist.all_reduce_sum(x, same_loss)
        loss_of(0, value).backward()
        out[f'same_loss={same_loss}'] = dict(value=value.detach(), gradient=x.grad)
    with torch.no_grad():
        out['no_grad'] = dist.all_gather(rows_of(rank).requires_grad_())
    out['transposed'] = dist.all_gather(rows_of(rank).T)
    out['integers'] = dist.all_gather(torch.tensor([rank, 10 * rank]))
    out['on_first'] = dist.gather(rows_of(rank))
    try:
        dist.gather(torch.zeros(rank + 1))
    except ValueError as error:
        out['uneven'] = str(error)
    source = rows_of(rank)
    dist.all_reduce_sum(source)
    out['source'] = source

    averaged = [rows_of(rank), rows_of(rank + 100)[0], rows_of(rank + 200)[0, 0]]
    views = list(averaged)
    dist.average_(averaged)
    out['average'] = averaged
    out['in_place'] = all(a is b for a, b in zip(averaged, views))
    dist.average_([])

    x, late = rows_of(rank).requires_grad_(), rows_of(rank)
    gathered, averaged_late = dist.start_gather(x), dist.start_average([late])
    out['before_waiting'] = late.clone()
    value = gathered()
    averaged_late()
    loss_of(rank, value).backward()
    out['started'] = dict(value=value.detach(), gradient=x.grad, average=late)

    torch.manual_seed(rank)
    out['shuffle'] = {}
    for size in SHUFFLED_SIZES:
        x = torch.stack([torch.full((2, 3), float(100 * rank + i)) for i in range(size)])
        first, second = dist.start_batch_shuffle(x), dist.start_batch_shuffle(x)  # both transfers overlap
        (shuffled, order), (again, _) = first(), second()
        y = shuffled[:, 0] * 2 + 1  # the returned shape is different
        out['shuffle'][size] = dict(x=x, shuffled=shuffled, again=again, back=dist.batch_unshuffle(y, order))
    torch.manual_seed(rank)
    images = torch.arange(8 * 3 * 4 * 4.0).view(8, 3, 4, 4) + 1000 * rank
    out['images'] = dist.start_batch_shuffle(images)()[0]
    torch.manual_seed(rank)
    out['channels_last'] = dist.start_batch_shuffle(images.contiguous(memory_format=torch.channels_last))()[0]
    return out


@pytest.fixture(scope='module', params=[2, 4])
def ranks(request, tmp_path_factory) -> list[dict]:
    return on_ranks(request.param, tmp_path_factory.mktemp('ranks'), check_all)


def combine(name: str, parts: list[Tensor]) -> Tensor:
    return torch.cat(parts) if name == 'gather' else torch.stack(parts).sum(0)


def test_rank_and_world_size(ranks):
    assert [(r['rank'], r['world_size']) for r in ranks] == [(i, len(ranks)) for i in range(len(ranks))]


def differences(ranks: list[dict], name: str) -> dict[str, float]:
    """Return the largest differences over ranks from one process that holds all rows.

    The differences are those of the value, of the gradient in the rows, and of the gradient in a parameter behind the
    collective after DDP has averaged it, which is the gradient of the mean loss.
    """
    leaves = [rows_of(r).requires_grad_() for r in range(len(ranks))]
    everything = combine(name, leaves)
    gradients = torch.autograd.grad(sum(loss_of(r, everything) for r in range(len(ranks))), leaves)
    model = layer()
    outputs = combine(name, [model(rows_of(r)) for r in range(len(ranks))])
    mean_loss = sum(loss_of(r, outputs) for r in range(len(ranks))) / len(ranks)
    parameters = torch.autograd.grad(mean_loss, list(model.parameters()))
    ours = [result[name] for result in ranks]
    return dict(
        value=max(naive.largest_difference([o['value']], [everything]) for o in ours),
        gradient=max(naive.largest_difference([o['gradient']], [g]) for o, g in zip(ours, gradients)),
        parameter=max(naive.largest_difference(o['parameters'], parameters) for o in ours),
    )


@pytest.mark.parametrize('name', ['gather', 'sum'])
def test_value_and_gradients_are_those_of_one_process(ranks, name):
    worst = differences(ranks, name)
    assert max(worst.values()) < 1e-12, worst


@pytest.mark.parametrize('name', ['gather', 'sum'])
def test_without_a_gradient_the_value_is_the_same(ranks, name):
    for result in ranks:
        assert torch.equal(result[name]['plain'], result[name]['value'])
        assert not result[name]['plain_grad']


def test_gather_of_what_needs_no_gradient(ranks):
    everything = torch.cat([rows_of(r) for r in range(len(ranks))])
    for result in ranks:
        assert torch.equal(result['no_grad'], everything)
        assert not result['no_grad'].requires_grad
        assert torch.equal(result['transposed'], torch.cat([rows_of(r).T for r in range(len(ranks))]))
        assert result['integers'].tolist() == [v for r in range(len(ranks)) for v in (r, 10 * r)]


def test_gather_on_the_first_rank(ranks):
    expected = [rows_of(r) for r in range(len(ranks))]
    assert all(torch.equal(a, b) for a, b in zip(ranks[0]['on_first'], expected, strict=True))
    assert all(result['on_first'] == [] for result in ranks[1:])


def test_gather_of_different_sizes_is_an_error_on_every_rank(ranks):
    sizes = list(range(1, len(ranks) + 1))
    message = f'a gather needs tensors of one shape, and those of the ranks have {sizes} entries'
    assert [result['uneven'] for result in ranks] == [message] * len(ranks)


def test_the_sum_of_one_loss_needs_no_communication_backward(ranks):
    for result in ranks:
        plain, quick = result['same_loss=False'], result['same_loss=True']
        assert torch.equal(quick['value'], plain['value'])
        assert naive.largest_difference([quick['gradient']], [plain['gradient']]) < 1e-12


def test_sum_leaves_its_argument_alone(ranks):
    assert all(torch.equal(result['source'], rows_of(r)) for r, result in enumerate(ranks))


def test_average_in_place(ranks):
    world = range(len(ranks))
    expected = [
        torch.stack([rows_of(r) for r in world]).mean(0),
        torch.stack([rows_of(r + 100)[0] for r in world]).mean(0),
        torch.stack([rows_of(r + 200)[0, 0] for r in world]).mean(0),
    ]
    for result in ranks:
        assert result['in_place']
        assert [t.shape for t in result['average']] == [t.shape for t in expected]
        assert naive.largest_difference(result['average'], expected) < 1e-12
        assert all(torch.equal(a, b) for a, b in zip(result['average'], ranks[0]['average']))


def test_a_completed_start_is_the_same(ranks):
    for r, result in enumerate(ranks):
        started = result['started']
        assert torch.equal(started['value'], result['gather']['value'])
        assert naive.largest_difference([started['gradient']], [result['gather']['gradient']]) < 1e-12
        assert torch.equal(result['before_waiting'], rows_of(r))
        assert naive.largest_difference([started['average']], [result['average'][0]]) < 1e-12


@pytest.mark.parametrize('size', SHUFFLED_SIZES)
def test_unshuffle_undoes_shuffle(ranks, size):
    for result in ranks:
        case = result['shuffle'][size]
        assert torch.equal(case['back'], case['x'][:, 0] * 2 + 1)


@pytest.mark.parametrize('size', SHUFFLED_SIZES)
def test_shuffled_batches_are_an_even_mixture_of_all_ranks(ranks, size):
    cases = [result['shuffle'][size] for result in ranks]
    everything = torch.cat([case['shuffled'] for case in cases])
    assert sorted(everything[:, 0, 0].tolist()) == sorted(torch.cat([c['x'] for c in cases])[:, 0, 0].tolist())
    for case in cases:
        assert case['shuffled'].shape == case['x'].shape
        origin = (case['shuffled'][:, 0, 0] // 100).long()
        counts = torch.bincount(origin, minlength=len(ranks))
        assert set(counts.tolist()) <= {size // len(ranks), -(-size // len(ranks))}


def test_every_shuffle_and_every_rank_has_another_order(ranks):
    cases = [result['shuffle'][8] for result in ranks]
    assert all(not torch.equal(case['shuffled'], case['again']) for case in cases)
    stayed = [(case['shuffled'][:, 0, 0] % 100).tolist() for case in cases]
    assert len({tuple(s) for s in stayed}) == len(ranks)


def test_shuffled_images_stay_channels_last(ranks):
    for result in ranks:
        assert torch.equal(result['channels_last'], result['images'])
        assert result['channels_last'].is_contiguous(memory_format=torch.channels_last)


def test_one_process_without_a_group():
    x = rows_of(0).requires_grad_()
    assert dist.world_size() == 1
    assert dist.rank() == 0
    assert dist.all_gather(x) is x
    assert dist.all_reduce_sum(x) is x
    before = x.detach().clone()
    dist.average_([x])
    assert torch.equal(x, before)
    shuffled, order = dist.start_batch_shuffle(x)()
    assert torch.equal(dist.batch_unshuffle(shuffled, order), x)


def crash(rank: int) -> None:
    if rank:
        raise KeyError('a rank that fails')


def test_a_failing_rank_fails_the_test(tmp_path):
    with pytest.raises(Exception, match='a rank that fails'):
        on_ranks(2, tmp_path, crash)

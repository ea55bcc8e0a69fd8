"""SyncBN and the collectives by NCCL: as the only rank of a group, and on two GPUs if there are two."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from helpers.gpus import NEEDS_TWO, on_gpus
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins.models.batch_norm import _SyncBatchNormCPU, _SyncBatchNormGPU, use_sync_batch_norm

SHAPES = [(16, 6, 5, 4), (24, 7)]


def draw(shape: tuple[int, ...], seed: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else x


def run(layer, x: Tensor, grad: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> dict[str, Tensor]:
    """Return output, gradients and running statistics of a layer."""
    leaves = [value.clone().requires_grad_() for value in (x, weight, bias)]
    mean, var = mean.clone(), var.clone()
    y = layer(leaves[0], *leaves[1:], mean, var)
    y.backward(grad)
    gradients = {f'{name}_grad': leaf.grad for name, leaf in zip(('x', 'weight', 'bias'), leaves)}
    return dict(y=y.detach(), mean=mean, var=var, **gradients)


def ours(views, x, weight, bias, mean, var):
    function = _SyncBatchNormGPU if x.is_cuda else _SyncBatchNormCPU
    return function.apply(x, weight, bias, mean, var, 1e-5, 0.1, views)


def torchs(views, x, weight, bias, mean, var):
    return torch.cat([F.batch_norm(view, mean, var, weight, bias, True, 0.1, 1e-5) for view in x.chunk(views)])


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize('shape', SHAPES, ids=len)
@pytest.mark.parametrize('views', [1, 2])
def test_sync_batch_norm_of_one_rank_is_batch_norm(views, shape, dtype, device, process_group):
    x, grad = ((draw(shape, seed) * 3 + 1).to(device, dtype) for seed in (0, 1))
    parameters = [draw((shape[1],), seed).to(device) for seed in (2, 3)]
    statistics = [torch.zeros(shape[1], device=device), torch.ones(shape[1], device=device)]
    actual, expected = (run(partial(layer, views), x, grad, *parameters, *statistics) for layer in (ours, torchs))
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype, name
        tolerance = dict(rtol=2e-2, atol=2e-2) if value.dtype == torch.bfloat16 else dict(rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(actual[name], value, **tolerance, msg=lambda text, name=name: f'{name}: {text}')
    if len(shape) == 4:
        assert actual['y'].is_contiguous(memory_format=torch.channels_last)


def test_collectives_of_one_rank_are_identities(device, process_group):
    x = draw((6, 4), 0).to(device).requires_grad_()
    gathered = dist._start_gather(x)()  # the public functions do nothing in a group of one
    assert torch.equal(gathered, x) and gathered.device == x.device
    weights = draw((6, 4), 1).to(device)
    (gathered * weights).sum().backward()
    assert torch.equal(x.grad, weights)
    images = draw((6, 3, 4, 4), 2).to(device)
    exchanged = dist._start_exchange(images)()
    assert torch.equal(exchanged, images) and exchanged.is_contiguous(memory_format=torch.channels_last)
    for same_loss in (False, True):
        x.grad = None
        (dist._all_reduce_sum(x, same_loss) * weights).sum().backward()
        assert torch.equal(x.grad, weights)


def two_ranks(rank: int, device: str) -> dict[str, Tensor]:
    """Return what each collective gives a rank, on the CPU."""
    move = partial(torch.Tensor.to, device=device)
    x = move(draw((6, 4), rank)).requires_grad_()
    gathered = dist.all_gather(x)
    (gathered * move(draw((12, 4), 7 + rank))).sum().backward()
    out = dict(gathered=gathered.detach(), gather_grad=x.grad.clone())
    averaged = [move(draw((5,), rank)), move(draw((2, 3), 10 + rank))]
    dist.average_(averaged)
    out.update(average=averaged[0], other_average=averaged[1])
    torch.manual_seed(rank)
    images = move(draw((6, 3, 4, 4), rank))
    shuffled, order = dist.start_batch_shuffle(images)()
    out.update(images=images, restored=dist.batch_unshuffle(shuffled, order), shuffled=shuffled)
    layer = use_sync_batch_norm(nn.SyncBatchNorm(6)).to(device)
    maps = move(draw((8, 6, 5, 4), rank)).requires_grad_()
    y = layer(maps)
    (y * move(draw((8, 6, 5, 4), 20 + rank))).sum().backward()
    out.update(maps=maps.detach(), y=y.detach(), maps_grad=maps.grad, mean=layer.running_mean, var=layer.running_var)
    return {name: value.cpu() for name, value in out.items()}


@pytest.mark.parametrize('kind', ['cpu', pytest.param('cuda', marks=NEEDS_TWO)])
def test_two_ranks(kind, tmp_path):
    first, second = on_gpus(2, tmp_path, two_ranks, kind)
    torch.testing.assert_close(first['gathered'], torch.cat([draw((6, 4), rank) for rank in (0, 1)]))
    assert torch.equal(first['gathered'], second['gathered'])
    weights = [draw((12, 4), 7 + rank) for rank in (0, 1)]
    for rank, result in enumerate((first, second)):
        expected = sum(weight[6 * rank : 6 * rank + 6] for weight in weights)
        torch.testing.assert_close(result['gather_grad'], expected)
        torch.testing.assert_close(result['average'], sum(draw((5,), i) for i in (0, 1)) / 2)
        torch.testing.assert_close(result['other_average'], sum(draw((2, 3), 10 + i) for i in (0, 1)) / 2)
        assert torch.equal(result['restored'], result['images'])
        assert not torch.equal(result['shuffled'], result['images'])
    maps = torch.cat([draw((8, 6, 5, 4), rank) for rank in (0, 1)]).requires_grad_()
    layer = nn.BatchNorm2d(6)
    y = layer(maps)
    (y * torch.cat([draw((8, 6, 5, 4), 20 + rank) for rank in (0, 1)])).sum().backward()
    for name, value in dict(y=y.detach(), maps_grad=maps.grad).items():
        torch.testing.assert_close(torch.cat([first[name], second[name]]), value, rtol=1e-4, atol=1e-4)
    for result in (first, second):
        torch.testing.assert_close(result['mean'], layer.running_mean)
        torch.testing.assert_close(result['var'], layer.running_var)

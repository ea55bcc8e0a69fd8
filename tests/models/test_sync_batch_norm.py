"""SyncBatchNorm on gloo ranks against one batch norm of the whole batch, in float64."""

import copy

import pytest
import torch
from helpers.ranks import on_ranks
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins.models.sync_batch_norm import SyncBatchNorm, use_sync_batch_norm

LAYERS = {
    'maps': (nn.BatchNorm2d(5, momentum=0.3), (12, 5, 4, 3)),
    'vectors': (nn.BatchNorm1d(7), (12, 7)),
    'without affine': (nn.BatchNorm1d(7, affine=False), (12, 7)),
    'without running statistics': (nn.BatchNorm1d(7, track_running_stats=False), (12, 7)),
}


def layer_and_batch(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a layer, a batch that is far from normalized, and the gradient of its output."""
    layer, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    layer = copy.deepcopy(layer).double()
    if layer.affine:
        with torch.no_grad():
            layer.weight.copy_(draw(shape[1]))
            layer.bias.copy_(draw(shape[1]))
    return layer, draw(*shape) * 3 + 1, draw(*shape)


def run(layer: nn.Module, x: Tensor, grad: Tensor) -> dict[str, Tensor]:
    """Return output, gradients and buffers of two training steps, and the output in evaluation mode."""
    x = x.clone().requires_grad_()
    layer(x.detach() + 1)
    y = layer(x)
    (y * grad).sum().backward()
    out = dict(y=y.detach(), x_grad=x.grad, **{name: value.clone() for name, value in layer.named_buffers()})
    out.update({f'{name}_grad': p.grad for name, p in layer.named_parameters()})
    if layer.track_running_stats:
        out['evaluation'] = layer.eval()(x.detach())
    return out


def run_rank(rank: int, name: str, channels_last: bool) -> dict[str, Tensor]:
    layer, x, grad = layer_and_batch(name)
    layer = use_sync_batch_norm(layer, convert=True)
    assert type(layer) is SyncBatchNorm
    own, own_grad = x.chunk(dist.world_size())[rank], grad.chunk(dist.world_size())[rank]
    if channels_last:
        own = own.contiguous(memory_format=torch.channels_last)
    out = run(layer, own, own_grad)
    if channels_last:
        assert out['y'].is_contiguous(memory_format=torch.channels_last)
    return out


@pytest.mark.core
@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize('ranks', [1, 2, 4])
def test_ranks_equal_one_batch_norm_of_the_whole_batch(name, ranks, tmp_path):
    expected = run(*layer_and_batch(name))
    results = on_ranks(ranks, tmp_path, run_rank, name, name == 'maps' and ranks > 1)
    for key, value in expected.items():
        parts = [result[key] for result in results]
        if key in ('weight_grad', 'bias_grad'):  # DDP sums them
            torch.testing.assert_close(sum(parts), value)
        elif key in ('y', 'x_grad', 'evaluation'):
            torch.testing.assert_close(torch.cat(parts), value)
        else:
            for part in parts:
                torch.testing.assert_close(part, value)


def test_second_derivatives_are_refused(tmp_path):
    assert on_ranks(2, tmp_path, second_derivative) == ['refused'] * 2


def second_derivative(rank: int) -> str:
    layer, x, _ = layer_and_batch('vectors')
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(use_sync_batch_norm(layer, convert=True)(x).square().sum(), x, create_graph=True)
    try:
        gradient.sum().backward()
    except RuntimeError as error:
        return 'refused' if 'once_differentiable' in str(error) else str(error)
    return 'computed'

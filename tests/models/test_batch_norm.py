"""Batch norm with statistics per view and over gloo ranks, against torch's layer on the whole batch, in float64."""

import copy

import pytest
import torch
from helpers.ranks import on_ranks
from mmengine.runner import turn_on_activation_checkpointing
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lewel_plugins import dist
from lewel_plugins.models.batch_norm import (
    SyncBatchNorm,
    ViewBatchNorm,
    embed_views,
    use_sync_batch_norm,
    use_view_batch_norm,
)

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


def run(layer: nn.Module, x: Tensor, grad: Tensor, views: int = 1) -> dict[str, Tensor]:
    """Return output, gradients and buffers of two training steps, and the output in evaluation mode.

    A layer with statistics per view is called once per step, another one once per view.
    """
    x = x.clone().requires_grad_()
    for batch in (x.detach() + 1, x):
        if isinstance(layer, ViewBatchNorm):
            layer.views = views
            y = layer(batch)
        else:
            y = torch.cat([layer(view) for view in batch.chunk(views)])
    (y * grad).sum().backward()
    out = dict(y=y.detach(), x_grad=x.grad, **{name: value.clone() for name, value in layer.named_buffers()})
    out.update({f'{name}_grad': p.grad for name, p in layer.named_parameters()})
    if layer.track_running_stats:
        out['evaluation'] = layer.eval()(x.detach())
    return out


def run_rank(rank: int, name: str, channels_last: bool, views: int) -> dict[str, Tensor]:
    layer, x, grad = layer_and_batch(name)
    layer = use_sync_batch_norm(layer, convert=True)
    assert type(layer) is SyncBatchNorm
    own, own_grad = (torch.cat([view.chunk(dist.world_size())[rank] for view in one.chunk(views)]) for one in (x, grad))
    if channels_last:
        own = own.contiguous(memory_format=torch.channels_last)
    out = run(layer, own, own_grad, views)
    if channels_last:
        assert out['y'].is_contiguous(memory_format=torch.channels_last)
    return out


@pytest.mark.core
@pytest.mark.parametrize('name', LAYERS)
@pytest.mark.parametrize(('ranks', 'views'), [(1, 1), (1, 3), (2, 1), (2, 3), (4, 1)])
def test_ranks_equal_one_batch_norm_of_the_whole_batch(name, ranks, views, tmp_path):
    expected = run(*layer_and_batch(name), views)
    results = on_ranks(ranks, tmp_path, run_rank, name, name == 'maps' and ranks > 1, views)
    for key, value in expected.items():
        parts = [result[key] for result in results]
        if key in ('weight_grad', 'bias_grad'):  # DDP sums them
            torch.testing.assert_close(sum(parts), value)
        elif key in ('y', 'x_grad', 'evaluation'):
            rows = [torch.cat(one) for one in zip(*(part.chunk(views) for part in parts))]
            torch.testing.assert_close(torch.cat(rows), value)
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


@pytest.mark.parametrize('name', LAYERS)
def test_views_in_one_batch_have_the_bits_of_one_call_per_view(name):
    expected = run(*layer_and_batch(name), views=3)
    layer, x, grad = layer_and_batch(name)
    use_view_batch_norm(layer)
    assert type(layer) is ViewBatchNorm
    for key, value in run(layer, x, grad, views=3).items():
        if key in ('weight_grad', 'bias_grad'):  # sums over the views, in another order
            torch.testing.assert_close(value, expected[key])
        else:
            assert torch.equal(value, expected[key]), key


def test_a_mean_over_all_batches_stays_or_is_refused_where_ranks_share_it():
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=None))
    use_view_batch_norm(layers)
    assert type(layers[1]) is nn.BatchNorm1d
    with pytest.raises(ValueError, match='SyncBatchNorm needs a momentum, and that of 1 is None'):
        use_sync_batch_norm(layers, convert=True)


def count_calls(rank: int, per_view: bool) -> tuple[list[tuple[int, ...]], bool]:
    """Return the shapes with which a network is called for four views, and whether each has its own statistics."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(3))
    views = [torch.randn(2, 3, size, size) + size for size in (4, 4, 2, 4)]
    expected = [network(x) for x in views]
    if per_view:
        use_view_batch_norm(network)
    shapes = []
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    outs = embed_views(network, [network], views)
    return shapes, all(map(torch.equal, outs, expected))


@pytest.mark.parametrize('per_view', [True, False])
def test_neighboring_views_of_one_shape_share_a_call_on_ranks(per_view, tmp_path):
    small, large = (2, 3, 2, 2), (2, 3, 4, 4)
    alone = [large, large, small, large]
    assert count_calls(0, per_view) == (alone, True)  # nothing to save in one process on a CPU
    together = [(4, 3, 4, 4), small, large]
    assert on_ranks(2, tmp_path, count_calls, per_view) == [(together if per_view else alone, True)] * 2


def test_several_outputs_per_view(monkeypatch):
    monkeypatch.setattr(dist, 'world_size', lambda: 2)
    views = [torch.full((2, 3), float(i)) for i in range(3)]
    outs = embed_views(lambda x: (x + 1, 2 * x), [], views)
    assert len(outs) == 3
    for x, (plus_one, double) in zip(views, outs):
        assert torch.equal(plus_one, x + 1) and torch.equal(double, 2 * x)


class Block(nn.Sequential):
    """A block with an option as in mmpretrain's backbones."""

    def __init__(self, with_cp: bool = False) -> None:
        super().__init__(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=False) if self.with_cp else super().forward(x)


@pytest.mark.parametrize('by', ['option', 'mmengine'])
def test_views_have_their_gradients_under_activation_checkpointing(by, monkeypatch):
    def gradients(network: nn.Module) -> list[Tensor]:
        torch.manual_seed(0)
        views = [i + torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for i in range(3)]
        outs = embed_views(network, [network], views)
        sum(out.pow(i + 2).sum() for i, out in enumerate(outs)).backward()
        return [p.grad for p in network.parameters()]

    torch.manual_seed(0)
    network = nn.Sequential(Block()).double()
    other = copy.deepcopy(network)
    expected = gradients(network)
    use_view_batch_norm(other)
    monkeypatch.setattr(dist, 'world_size', lambda: 2)  # more than one process: views go through together
    if by == 'option':
        other[0].with_cp = True
    else:
        turn_on_activation_checkpointing(other, ['0'])
    for own, one in zip(gradients(other), expected, strict=True):
        torch.testing.assert_close(own, one, rtol=1e-12, atol=1e-12)

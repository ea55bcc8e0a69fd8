"""The backward pass in Python gives the gradients of torch's engine, bit for bit."""

from copy import deepcopy

import pytest
import torch
from helpers import tiny, tiny_mpcl
from torch import nn

from lewel_plugins.dry_run.engine import GraphRoot, backward
from lewel_plugins.seeding import seed_shared_generator

MODELS = dict(
    lewel_b=tiny.lewel_b,
    lewel_m=tiny.lewel_m,
    msbreg=tiny.msbreg,
    smog=tiny.smog,
    byol_multi_crop=tiny.byol_multi_crop,
    **{method: lambda method=method: tiny_mpcl.build(method) for method in tiny_mpcl.METHODS},
)


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize('method', MODELS)
def test_gradients_of_a_step_are_those_of_torch(method):
    model = MODELS[method]().float()
    twin = deepcopy(model)
    views = [x.float() for x in tiny.images(4, 3 if method in ('msbreg', 'byol_multi_crop') else 2)]
    seed_shared_generator(0)
    sum(model.loss(views).values()).backward()
    seed_shared_generator(0)
    root, leaf = GraphRoot.cut(sum(twin.loss(views).values()))
    root.backward()
    expected, actual = gradients(model), gradients(twin)
    assert leaf.grad_fn is None and len(expected) > 5 and expected.keys() == actual.keys()
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert all(p.stride() == p.grad.stride() for p in twin.parameters() if p.grad is not None)


class Double(torch.autograd.Function):
    """x → (2x, its sum), of which the second output may be unused."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return 2 * x, x.sum()

    @staticmethod
    def backward(ctx, grad, grad_sum):
        (x,) = ctx.saved_tensors
        return (2 * grad + grad_sum * torch.ones_like(x)).double()  # torch's engine returns it to float32


def chain(w, v):
    """Custom functions one after another, tensors used several times, broadcasts, and two dtypes."""
    x, total = Double.apply(w)
    y, _ = Double.apply(x)
    z = (y + v) * (w - v).bfloat16().float() + y[:1]
    return (z * z).sum() + total + (v.expand(3, 4) * z).mean()


@pytest.mark.parametrize('calls', [1, 2])
def test_gradients_of_a_tangled_graph_are_those_of_torch(calls):
    leaves = [[torch.linspace(0, 1, 12).view(3, 4).requires_grad_(), torch.ones(4, requires_grad=True)] for _ in '12']
    for _ in range(calls):  # the second call adds to the gradients
        chain(*leaves[0]).backward(torch.tensor(3.0))
        backward(chain(*leaves[1]), torch.tensor(3.0))
    assert all(torch.equal(expected.grad, actual.grad) for expected, actual in zip(*leaves))


def test_a_gradient_has_the_strides_of_its_parameter():
    weight = torch.ones(3, 4).t().requires_grad_()
    backward((weight.contiguous() * torch.arange(12.0).view(4, 3)).sum())
    assert weight.grad.stride() == weight.stride() == (1, 4)
    assert torch.equal(weight.grad, torch.arange(12.0).view(4, 3))

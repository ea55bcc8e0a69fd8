"""LARS against plain Python floats, parameter by parameter."""

import copy

import pytest
import torch
from helpers import references as naive
from torch import Tensor, nn

from lewel_plugins.optim import LARS

pytestmark = pytest.mark.core

RATES = (0.0, 0.3, 0.9, 0.5, 0.01, 1.2)  # another one per step, starting from the zero of a warm-up


def parameters(dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), (2, 3, 1, 2), (4,)]
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    values[3].zero_()  # a weight of zero norm, as BN's bias at the start
    return [nn.Parameter(v.to(dtype)) for v in values]


def gradient(parameter: Tensor, step: int, index: int) -> Tensor:
    generator = torch.Generator().manual_seed(100 * step + index)
    value = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter)
    return torch.zeros_like(value) if (step, index) == (2, 1) else value


@pytest.mark.parametrize('weight_decay', [0.0, 0.1])
@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_equals_the_scalar_loop(momentum, weight_decay):
    params = parameters()
    groups = [
        dict(params=params[:2]),
        dict(params=params[2:3], weight_decay=0.7),
        dict(params=params[3:], weight_decay=0.0, adapt=False),
    ]
    optimizer = LARS(groups, lr=1.0, momentum=momentum, weight_decay=weight_decay)
    weights = [p.detach().flatten().tolist() for p in params]
    velocities = [[0.0] * len(w) for w in weights]
    options = [(weight_decay, True), (weight_decay, True), (0.7, True), (0.0, False)]  # decay, adapt
    for step, lr in enumerate(RATES):
        for group in optimizer.param_groups:
            group['lr'] = lr
        for i, p in enumerate(params):
            p.grad = gradient(p, step, i)
            decay, adapt = options[i]
            grads = p.grad.flatten().tolist()
            weights[i], velocities[i] = naive.lars_step(
                weights[i], grads, velocities[i], lr, momentum, decay, 0.001, adapt
            )
        optimizer.step()
        for p, w in zip(params, weights):
            torch.testing.assert_close(p.data.flatten(), torch.tensor(w, dtype=p.dtype), rtol=0, atol=1e-12)


@pytest.mark.parametrize('lr', [0.001, 10.0])
def test_eta_and_clip_as_in_solo_learn(lr):
    """λγ = min(η‖w‖ / (‖g‖ + ρ‖w‖), γ): the small rate is below the adapted one, the large one above."""
    params = parameters()[:1]
    (before,) = (p.detach().clone() for p in params)
    params[0].grad = gradient(params[0], 0, 0)
    LARS(params, lr=lr, momentum=0.9, weight_decay=0.1, eta=0.02, clip=True).step()
    update = params[0].grad + 0.1 * before
    adapted = 0.02 * before.norm() / (params[0].grad.norm() + 0.1 * before.norm())
    assert (adapted > lr) == (lr == 0.001)
    torch.testing.assert_close(params[0].detach(), before - min(float(adapted), lr) * update, rtol=0, atol=1e-12)


def test_without_adaptation_it_equals_torchs_sgd():
    ours, theirs = parameters(), parameters()
    optimizers = [
        LARS(ours, lr=0.1, momentum=0.9, weight_decay=0.01, adapt=False),
        torch.optim.SGD(theirs, lr=0.1, momentum=0.9, weight_decay=0.01),
    ]
    for step in range(4):
        for optimizer, params in zip(optimizers, (ours, theirs)):
            optimizer.param_groups[0]['lr'] = 0.1 / (step + 1)
            for i, p in enumerate(params):
                p.grad = gradient(p, step, i)
            optimizer.step()
    assert naive.largest_difference(ours, theirs) < 1e-14


def test_scaling_the_gradient_changes_nothing_without_weight_decay():
    runs = []
    for scale in (1.0, 1000.0):
        params = parameters()[:2]
        optimizer = LARS(params, lr=0.5)
        for step in range(2):
            for i, p in enumerate(params):
                p.grad = scale * gradient(p, step, i)
            optimizer.step()
        runs.append(params)
    assert naive.largest_difference(*runs) < 1e-12


def test_parameters_without_a_gradient_are_left_alone():
    params = parameters()
    before = [p.detach().clone() for p in params]
    params[0].grad = gradient(params[0], 0, 0)
    optimizer = LARS(params, lr=1.0, weight_decay=0.1)
    optimizer.step()
    assert not torch.equal(params[0], before[0])
    assert all(torch.equal(p, b) for p, b in zip(params[1:], before[1:]))
    assert len(optimizer.state) == 1


def test_gradients_are_not_changed():
    params = parameters()
    for i, p in enumerate(params):
        p.grad = gradient(p, 0, i)
    before = [p.grad.clone() for p in params]
    LARS(params, lr=1.0, weight_decay=0.1).step()
    assert all(torch.equal(p.grad, b) for p, b in zip(params, before))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_state_dict_round_trip_is_exact(dtype):
    def step(params: list[nn.Parameter], optimizer: LARS, number: int) -> None:
        for i, p in enumerate(params):
            p.grad = gradient(p, number, i)
        optimizer.step()

    params = parameters(dtype)
    optimizer = LARS(params, lr=0.3, weight_decay=0.1)
    for number in range(3):
        step(params, optimizer, number)
    resumed = [nn.Parameter(p.detach().clone()) for p in params]
    fresh = LARS(resumed, lr=123.0)
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert fresh.param_groups[0]['lr'] == 0.3
    for number in range(3, 6):
        step(params, optimizer, number)
        step(resumed, fresh, number)
    assert all(torch.equal(a, b) for a, b in zip(params, resumed))


def test_closure():
    params = parameters()[:1]
    optimizer = LARS(params, lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = params[0].square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    assert optimizer.step(closure).item() < first
    assert optimizer.step() is None


def test_converges_on_a_quadratic():
    weight, target = nn.Parameter(torch.ones(4)), torch.tensor([1.0, -2.0, 3.0, 0.5])
    optimizer = LARS([weight], lr=10.0)
    for _ in range(300):
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()
    assert (weight - target).norm() < 0.3


@pytest.mark.parametrize(
    ('options', 'numbers'),
    [
        (dict(lr=0.0), ['lr', 'positive', '0.0']),
        (dict(lr=-1), ['lr', '-1']),
        (dict(lr=1.0, momentum=1.0), ['momentum', '[0, 1)', '1.0']),
        (dict(lr=1.0, weight_decay=-0.1), ['weight_decay', '-0.1']),
        (dict(lr=1.0, eta=0.0), ['eta', 'positive', '0.0']),
    ],
    ids=str,
)
def test_errors(options, numbers):
    with pytest.raises(ValueError) as error:
        LARS(parameters(), **options)
    assert all(number in str(error.value) for number in numbers), str(error.value)

"""LEWELNeck against the naive neck of ``references.py``, which sees only its flat list of parameters."""

from unittest.mock import patch

import pytest
import torch
from helpers import references as naive
from helpers import tiny
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.models import LEWELNeck
from lewel_plugins.models.necks import lewel_neck

pytestmark = pytest.mark.core

TOLERANCE = 1e-10
HALF = pytest.mark.skipif(not hasattr(torch, 'get_autocast_dtype'), reason='no float16 autocast on CPUs')


def feature_map(seed: int = 0, height: int = 2, width: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, tiny.WIDTH, height, width, generator=generator, dtype=torch.float64, requires_grad=True)


def outputs_and_gradients(outputs: tuple[Tensor, Tensor], inputs: list[Tensor]) -> list[Tensor]:
    z, z_aligned = outputs
    weights = [torch.cos(torch.arange(x.numel(), dtype=x.dtype) + 1).view(x.shape) for x in (z, z_aligned)]
    loss = (z * weights[0]).sum() + (z_aligned * weights[1]).sum()
    actual = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [z, z_aligned, *[torch.zeros_like(x) if g is None else g for x, g in zip(inputs, actual)]]


def compare(ours: list[Tensor], theirs: list[Tensor]) -> dict[str, float]:
    return dict(
        value=naive.largest_difference(ours[:2], theirs[:2]), gradient=naive.largest_difference(ours[2:], theirs[2:])
    )


def differences(neck: LEWELNeck) -> dict[str, float]:
    """Return how outputs and gradients, in the feature map and every parameter, differ from the naive neck."""
    f = feature_map()
    leaves = [f, *neck.parameters()]
    theirs = outputs_and_gradients(tiny.naive_neck(neck, f), leaves)
    return compare(outputs_and_gradients(neck((f,)), leaves), theirs)


def differences_from_pooling(neck: LEWELNeck) -> dict[str, float]:
    """Return how a neck with uniform maps differs from g and p on the globally pooled feature.

    The d maps are equal, so every aligned embedding is p(GAP F): repeated rows change no mean or variance.
    """
    f = feature_map()
    leaves = [f, *neck.parameters()]
    g, p, _ = tiny.neck_parameters(neck)
    pooled = torch.stack([naive.pooled(image) for image in f])
    once = naive.mlp(pooled, p)
    repeated = torch.stack([torch.stack([row] * neck.num_aligned) for row in once])
    theirs = outputs_and_gradients((naive.mlp(pooled, g), repeated), leaves)
    return compare(outputs_and_gradients(neck((f,)), leaves), theirs)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(num_groups=1),
        dict(num_groups=8),
        dict(out_channels=4, num_groups=2, aligned_channels=5),
        dict(coupled=False),
        dict(coupled=False, num_groups=2, aligned_channels=3),
        dict(scale=4.0),
        dict(coupled=False, scale=0.5),
    ],
    ids=str,
)
def test_equals_the_naive_neck(changes, training):
    neck = tiny.neck(**changes).train(training)
    z, z_aligned = neck((feature_map(),))
    d, c = neck.out_channels, changes.get('aligned_channels') or neck.out_channels
    assert z.shape == (3, d)
    assert z_aligned.shape == (3, d // neck.num_groups, c)
    worst = differences(neck)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('changes', [dict(), dict(num_groups=1), dict(coupled=False), dict(scale=4.0)], ids=str)
def test_the_path_of_mixed_precision_equals_the_naive_neck(changes, training):
    neck = tiny.neck(**changes).train(training)
    with patch.object(lewel_neck, 'in_low_precision', return_value=True) as switch:
        worst = differences(neck)
    assert switch.called and max(worst.values()) < TOLERANCE, worst


def within_image(dtype: torch.dtype, apart: bool) -> list[Tensor]:
    """Return z_aligned less its mean over the embeddings of an image, under autocast, and gradients of a sum of it."""
    torch.manual_seed(0)
    neck = LEWELNeck(256, 128, 64)
    f = (torch.randn(8, 256, 4, 4).relu() * torch.rand(8, 256, 1, 1)).bfloat16().float().requires_grad_()
    low = dtype != torch.float32
    autocast = torch.autocast('cpu', dtype if low else torch.bfloat16, enabled=low)
    with patch.object(lewel_neck, 'in_low_precision', return_value=apart), autocast:
        _, aligned = neck((f.to(dtype),))
    assert aligned.dtype == (torch.float32 if apart or not low else dtype)
    part = aligned.float() - aligned.float().mean(1, keepdim=True)
    weights = torch.randn(part.shape, generator=torch.Generator().manual_seed(1))
    return [part, *torch.autograd.grad((part * weights).sum(), [f, neck.p[0].weight, neck.p[3].weight])]


@pytest.mark.parametrize('dtype', [torch.bfloat16, pytest.param(torch.float16, marks=HALF)], ids=str)
def test_mixed_precision_keeps_what_tells_the_embeddings_of_an_image_apart(dtype):
    expected = within_image(torch.float32, apart=False)
    apart, together = (
        [(x - y).norm() / y.norm() for x, y in zip(within_image(dtype, apart=choice), expected)]
        for choice in (True, False)
    )
    assert apart[0] < (0.01 if dtype == torch.bfloat16 else 0.0015)
    assert apart[0] < together[0] / 8  # the path of float32 would lose it
    assert all(ours < before / 2 for ours, before in zip(apart, together))


@pytest.mark.parametrize('alignment', ['learned', 'random', 'uniform'])
def test_autocast_takes_the_path_of_mixed_precision(alignment):
    neck = LEWELNeck(8, 12, 8, alignment=alignment)
    f = torch.randn(4, 8, 3, 3)
    assert neck((f,))[1].dtype == torch.float32 and not lewel_neck.in_low_precision(f)
    with torch.autocast('cpu', torch.bfloat16):
        z, aligned = neck((f.bfloat16(),))
    assert (z.dtype, aligned.dtype) == (torch.bfloat16, torch.float32)


def test_all_parameters_get_a_gradient():
    for coupled in (True, False):
        neck, f = tiny.neck(coupled=coupled), feature_map()
        _, _, *actual = outputs_and_gradients(neck((f,)), [f, *neck.parameters()])
        assert all(g.abs().max() > 0 for g in actual)


@pytest.mark.parametrize('coupled', [True, False])
def test_running_statistics_are_of_the_joint_positions(coupled):
    neck, f = tiny.neck(coupled=coupled), feature_map()
    g, p, map_g = tiny.neck_parameters(neck)
    before = [(m.clone(), v.clone()) for m, v in tiny.neck_statistics(neck)]
    rows = naive.neck_rows(f)
    positions = f.shape[2] * f.shape[3]
    pooled_rows = rows[:: 1 + positions]
    position_rows = torch.stack([row for r, row in enumerate(rows) if r % (1 + positions)])
    maps = neck.alignment_maps((f,)).flatten(2)  # in training mode, which moves the statistics; they are restored below
    for (mean, variance), (old_mean, old_variance) in zip(tiny.neck_statistics(neck), before):
        mean.copy_(old_mean)
        variance.copy_(old_variance)
    aligned_rows = naive.aligned_pooling(f.flatten(2), maps, neck.num_groups).flatten(0, 1)
    neck((f,))
    seen = [(rows if coupled else pooled_rows, g), (aligned_rows, p)]
    if not coupled:
        seen.append((position_rows, map_g))
    for (x, parameters), (old_mean, old_var), (mean, var) in zip(seen, before, tiny.neck_statistics(neck)):
        new_mean, new_var = naive.hidden_statistics(x, parameters[0])
        torch.testing.assert_close(mean, 0.9 * old_mean + 0.1 * new_mean, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(var, 0.9 * old_var + 0.1 * new_var, rtol=0, atol=TOLERANCE)


def test_parameter_order_is_g_then_p():
    neck = LEWELNeck(8, 6, 4, aligned_channels=5, num_groups=2)
    shapes = [tuple(p.shape) for p in neck.parameters()]
    assert shapes == [(6, 8), (6,), (6,), (4, 6), (6, 8), (6,), (6,), (5, 6)]
    uncoupled = LEWELNeck(8, 6, 4, aligned_channels=5, num_groups=2, coupled=False)
    assert [tuple(p.shape) for p in uncoupled.parameters()] == shapes + shapes[:4]


@pytest.mark.parametrize(
    'changes', [dict(), dict(coupled=False), dict(alignment='random'), dict(alignment='uniform')], ids=str
)
def test_alignment_maps_are_distributions_over_positions(changes):
    neck = tiny.neck(out_channels=4, **changes)
    maps = neck.alignment_maps((feature_map(height=2, width=5),))
    assert maps.shape == (3, 4, 2, 5)
    assert (maps > 0).all()
    torch.testing.assert_close(maps.sum((2, 3)).double(), torch.ones(3, 4, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize('coupled', [True, False])
def test_pooling_under_the_returned_maps_gives_the_embeddings(coupled):
    neck, f = tiny.neck(coupled=coupled).eval(), feature_map()
    maps = neck.alignment_maps((f,))
    y = LF.aligned_pooling(f.flatten(2), maps.flatten(2), neck.num_groups)
    torch.testing.assert_close(neck.p(y), neck((f,))[1], rtol=0, atol=TOLERANCE)


def test_learned_maps_differ_and_follow_the_heat():
    neck, f = tiny.neck().eval(), feature_map()
    g, _, _ = tiny.neck_parameters(neck)
    heat = [naive.mlp(image.flatten(1).T, g, tiny.neck_statistics(neck)[0]).T for image in f]
    expected = naive.alignment_maps(torch.stack(heat)).unflatten(2, f.shape[2:])
    maps = neck.alignment_maps((f,))
    assert naive.largest_difference([maps], [expected]) < TOLERANCE
    assert maps.std((2, 3)).min() > 1e-3


def test_random_maps_are_new_at_every_call_and_independent_of_the_image():
    neck, f = tiny.neck(alignment='random'), feature_map()
    torch.manual_seed(0)
    first, second = neck.alignment_maps((f,)), neck.alignment_maps((f,))
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(neck.alignment_maps((-f,)), first)
    assert not torch.equal(first[0], first[1])


@pytest.mark.parametrize('num_groups', [1, 2, tiny.EMBEDDING])  # the last is an extra head on the pooled feature
def test_uniform_maps_are_global_average_pooling(num_groups):
    neck = tiny.neck(alignment='uniform', num_groups=num_groups)
    assert neck((feature_map(),))[1].shape[1] == tiny.EMBEDDING // num_groups
    worst = differences_from_pooling(neck)
    assert max(worst.values()) < TOLERANCE, worst


def test_channels_last_gives_the_same():
    neck, f = tiny.neck(), feature_map()
    last = f.detach().to(memory_format=torch.channels_last).requires_grad_()
    assert last.stride() != f.stride()
    first_result = outputs_and_gradients(neck((f,)), [f, *neck.parameters()])
    last_result = outputs_and_gradients(neck((last,)), [last, *neck.parameters()])
    assert naive.largest_difference(first_result, last_result) < TOLERANCE


def test_only_the_last_feature_map_counts():
    neck, f = tiny.neck().eval(), feature_map()
    assert torch.equal(neck((torch.zeros(1), f))[0], neck((f,))[0])


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        (dict(num_groups=3), ['8', '3']),
        (dict(in_channels=6), ['6', '4']),
        (dict(out_channels=6), ['6', '4']),
        (dict(num_groups=0), ['0']),
        (dict(num_groups=-4), ['-4']),
        (dict(hid_channels=0), ['hid_channels', '0']),
        (dict(out_channels=0), ['0']),
        (dict(aligned_channels=0), ['0']),
        (dict(scale=0.0), ['scale', 'positive', '0.0']),
        (dict(alignment='learn'), ['learn', 'learned', 'random', 'uniform']),
    ],
    ids=str,
)
def test_constructor_errors_name_value_and_constraint(changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny.neck(**changes)
    assert all(number in str(error.value) for number in numbers), str(error.value)


@pytest.mark.parametrize('shape', [(3, 8), (3, 9, 8), (3, 7, 2, 2)])
def test_wrong_feature_shape_is_named(shape):
    with pytest.raises(ValueError, match=str(shape).replace('(', r'\(').replace(')', r'\)')):
        tiny.neck()((torch.zeros(shape),))

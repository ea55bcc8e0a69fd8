"""A whole step of MSBReg against naive loops, and against mmpretrain's BYOL where the two coincide."""

import gc

import pytest
import torch
from helpers import references as naive
from helpers import tiny, twins
from mmengine.optim import OptimWrapper
from test_lewel_b import BACKBONES
from torch import Tensor

from lewel_plugins.models import MSBReg
from lewel_plugins.optim import TypedOptimWrapperConstructor
from lewel_plugins.seeding import seed_shared_generator

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


def noise(count: int, seed: int) -> Tensor:
    """Return the noise that the shared generator draws after it was seeded."""
    return torch.randn(count, tiny.EMBEDDING, generator=torch.Generator().manual_seed(seed)).double()


def step_differences(model: MSBReg, views: list[Tensor]) -> dict[str, float]:
    p, z = tiny.naive_embeddings(model, views)
    singular, brownian = model.head.singular_value_loss, model.head.brownian_loss
    expected = [
        model.head.lambda_c * naive.centroid_loss(p, z, model.head.exclude_self),
        singular.weight * naive.singular_value_loss(p, singular.normalize),
        brownian.weight * naive.brownian_loss(p, noise(len(views[0]), 7)),
    ]
    theirs = tiny.gradients(sum(expected), model)
    seed_shared_generator(7)
    losses = list(model.loss(views).values())
    return dict(
        loss=naive.largest_difference(losses, expected),
        gradient=naive.largest_difference(tiny.gradients(sum(losses), model), theirs),
    )


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(exclude_self=True, lambda_s=0.3, lambda_b=2.0),
        dict(lambda_c=0.7, lambda_s=0.3),
        dict(lambda_s=0.3, normalize=True),
        dict(lambda_s=0.3, neck_changes=dict(norm='LN')),
        dict(lambda_s=0.3, neck_changes=dict(norm='LN', standardize=True)),
        dict(lambda_s=0.3, neck_changes=dict(standardize=True)),
    ],
    ids=str,
)
@pytest.mark.parametrize('num_views', [2, 3])
def test_step_equals_the_naive_step(changes, num_views):
    model = tiny.msbreg(**changes)
    tiny.shrink(model)
    worst = step_differences(model, tiny.images(3, num_views, seed=1))
    assert max(worst.values()) < TOLERANCE, worst
    assert model.loss(tiny.images(3)).keys() == {'loss_centroid', 'loss_singular', 'loss_brownian'}


def test_two_views_without_the_own_target_are_half_of_mmpretrains_byol():
    model = tiny.msbreg(exclude_self=True, lambda_s=0.0, lambda_b=0.0, momentum=0.3)
    worst = twins.walk_together(model, twins.byol(model), steps=6, scale=2)
    assert max(worst.values()) < TOLERANCE, worst


def test_with_twice_the_weight_they_are_mmpretrains_byol():
    model = tiny.msbreg(exclude_self=True, lambda_c=2.0, lambda_s=0.0, lambda_b=0.0, momentum=0.3)
    worst = twins.walk_together(model, twins.byol(model), steps=6)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('changes', [dict(exclude_self=False), dict(lambda_b=0.1), dict(lambda_s=0.1)], ids=str)
def test_otherwise_they_are_not(changes):
    """The comparison above can fail."""
    model = tiny.msbreg(**{**dict(exclude_self=True, lambda_s=0.0, lambda_b=0.0, momentum=0.3), **changes})
    assert twins.walk_together(model, twins.byol(model), steps=2, scale=2)['loss'] > 1e-3


def test_a_loss_without_weight_is_left_out():
    model = tiny.msbreg(lambda_s=0.0, lambda_b=0.0)
    assert model.loss(tiny.images()).keys() == {'loss_centroid'}


def test_views_of_an_image_share_their_direction_and_iterations_do_not():
    model = tiny.msbreg().eval()
    view = tiny.images(views=1)[0]
    seed_shared_generator(3)
    first, one_more = model.loss([view, view])['loss_brownian'], model.loss([view, view])['loss_brownian']
    seed_shared_generator(3)
    assert model.loss([view] * 5)['loss_brownian'].item() == pytest.approx(first.item(), abs=1e-12)
    assert abs(one_more.item() - first.item()) > 1e-4


def test_order_of_the_views_changes_nothing():
    model, views = tiny.msbreg().eval(), tiny.images(views=4)
    losses = []
    for order in (views, views[::-1]):
        seed_shared_generator(0)
        losses.append(model.loss(order))
    for name, value in losses[0].items():
        assert value.item() == pytest.approx(losses[1][name].item(), rel=1e-14, abs=1e-12)  # an ulp of L_s is 1e-11


def test_batch_norm_has_its_statistics_per_view():
    model, views = tiny.msbreg(), tiny.images(views=3)
    assert model.neck.g[1].training
    seen: list[int] = []
    model.neck.g[1].register_forward_hook(lambda _, inputs, output: seen.append(len(inputs[0])))
    model.loss(views)
    assert seen == [4, 4, 4]


def test_a_teacher_without_statistics_of_the_batch_sees_all_views_at_once():
    model, views, seen = tiny.msbreg(teacher_norm='eman'), tiny.images(views=3), []
    with torch.no_grad():
        one_by_one = torch.stack([model.teacher(x) for x in views])
    model.teacher.register_forward_hook(lambda _, inputs, output: seen.append(len(inputs[0])))
    torch.testing.assert_close(model.teacher.each_view(views), one_by_one, rtol=1e-12, atol=1e-12)
    model.teacher.each_view([*views, tiny.images(views=1, size=4)[0]])
    assert seen == [12, 4, 4, 4, 4]


def saved_bytes(model: MSBReg, num_views: int) -> int:
    """Return the bytes that autograd keeps for the backward pass of a step, without the parameters."""
    parameters = {p.data_ptr() for p in model.parameters()}
    sizes: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        if x.data_ptr() not in parameters:
            sizes[x.data_ptr()] = x.untyped_storage().nbytes()
        return x

    gc.collect()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = sum(model.loss(tiny.images(16, num_views)).values())
    assert loss.requires_grad  # keeps the graph and its memory alive, so that no address was used twice
    return sum(sizes.values())


def test_memory_grows_with_the_number_of_views_and_no_faster():
    model = tiny.msbreg()
    two, four, eight = (saved_bytes(model, k) for k in (2, 4, 8))
    assert (eight - four) / (four - two) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(exclude_self=True),
        dict(normalize=True),
        dict(lambda_s=0.0),
        dict(lambda_b=0.0),
        dict(teacher_norm='eman'),
        dict(neck=dict(norm='LN')),
        dict(neck=dict(standardize=True)),
        dict(neck=dict(norm='LN', standardize=True)),
    ],
    ids=str,
)
@pytest.mark.parametrize('num_views', [2, 4])
def test_every_switch_trains_a_step(settings, num_views):
    settings = dict(settings)
    model = tiny.msbreg(neck_changes=settings.pop('neck', {}), **settings)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    wrapper.update_params(model.parse_losses(model.loss(tiny.images(views=num_views)))[0])
    assert all(value.isfinite().all() for value in model.state_dict().values())
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {n for n, p in model.named_parameters() if p.requires_grad}
    model.after_optimizer_step(0.5)
    moved = {n for n, p in model.teacher.named_parameters() if not torch.equal(p, before[f'teacher.{n}'])}
    assert moved == {n for n, _ in model.teacher.named_parameters()}


def test_no_teacher_parameter_in_the_optimizer():
    model = tiny.msbreg()
    wrapper = TypedOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model)
    in_optimizer = {p for group in wrapper.optimizer.param_groups for p in group['params']}
    assert in_optimizer == {p for n, p in model.named_parameters() if not n.startswith('teacher.')}


def test_teacher_follows_the_cosine():
    model = tiny.msbreg()
    assert [model.teacher.momentum_at(share) for share in (0, 0.5, 1)] == pytest.approx([0.004, 0.002, 0])


def test_losses_are_in_float32_under_autocast():
    model = tiny.msbreg().float()
    with torch.autocast('cpu', torch.bfloat16):
        losses = model.loss([x.float() for x in tiny.images(views=3)])
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())


@pytest.mark.parametrize(('name', 'channels'), [('resnet', 64), ('swin', 64), ('vit', 16)])
def test_backbones_of_mmpretrain(name, channels):
    model = MSBReg(
        BACKBONES[name],
        tiny.projection_config(in_channels=channels),
        **tiny.arguments('MSBReg', hid_channels=tiny.HIDDEN),
    )
    model.init_weights()
    torch.manual_seed(0)
    sum(model.loss([torch.randn(4, 3, 32, 32) for _ in range(3)]).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        (dict(lambda_s=-1.0), ['weight', '-1.0']),
        (dict(lambda_b=-0.5), ['weight', '-0.5']),
        (dict(lambda_c=-2.0), ['weight', '-2.0']),
        (dict(momentum=1.2), ['momentum', '1.2', '[0, 1]']),
        (dict(hid_channels=0), ['hid_channels', '0']),
    ],
    ids=str,
)
def test_constructor_errors(changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny.msbreg(**changes)
    assert all(number in str(error.value) for number in numbers), str(error.value)


def test_views_of_different_numbers_of_images():
    a, b = tiny.images()
    with pytest.raises(ValueError, match=r'equally many images, got \[4, 3\]'):
        tiny.msbreg().loss([a, b[:3]])


@pytest.mark.parametrize('inputs', [tiny.images(views=1), tiny.images()[0]], ids=['1', 'tensor'])
def test_one_view_is_too_few(inputs):
    with pytest.raises(ValueError, match='2 views or more'):
        tiny.msbreg().loss(inputs)

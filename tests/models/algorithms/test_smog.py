"""A whole step of SMoG against naive loops; its switches, schedule and state."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from helpers import references as naive
from helpers import tiny
from helpers.ranks import on_ranks
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.models import MomentumGroups, SMoG
from lewel_plugins.optim import TypedOptimWrapperConstructor

pytestmark = pytest.mark.core

TOLERANCE = 1e-10
UPDATES = ('momentum', 'latest', 'average', 'random')


def step_differences(model: SMoG, views: list[Tensor], odd: bool = False, beta=None) -> dict[str, float]:
    """Return how a step differs from the naive step: loss, gradient in every parameter, stored groups."""
    expected, groups = tiny.naive_smog_loss(model, views, odd, float(model.head.groups.beta) if beta is None else beta)
    theirs = tiny.gradients(expected, model)
    loss = model.loss(views)['loss_contrastive']
    ours = tiny.gradients(loss, model)
    return dict(
        loss=naive.largest_difference([loss], [expected]),
        gradient=naive.largest_difference(ours, theirs),
        groups=naive.largest_difference([model.head.groups.rows], [groups]),
    )


def multi_crop(num: int = 4, small: int = 2, seed: int = 0) -> list[Tensor]:
    return tiny.images(num, 2, seed) + tiny.images(num, small, seed + 50, size=4)


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('activation', ['relu', 'gelu'])
def test_step_equals_the_naive_step(activation, mode):
    model = tiny.smog(neck_changes=dict(activation=activation)).train(mode == 'train')
    worst = step_differences(model, tiny.images(6))
    assert max(worst.values()) < TOLERANCE, worst
    model.head.groups.end_step()
    worst = step_differences(model, tiny.images(6, seed=1), odd=True)
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('odd', [False, True])
def test_multi_crop_step_equals_the_naive_step(odd):
    model = tiny.smog(num_views=5)
    if odd:
        model.loss(multi_crop(4, 3, seed=9))
        model.head.groups.end_step()
    worst = step_differences(model, multi_crop(4, 3), odd)
    assert max(worst.values()) < TOLERANCE, worst


def test_latest_and_average_steps_equal_the_naive_steps():
    worst = step_differences(tiny.smog(update='latest'), tiny.images(6), beta=0.0)
    assert max(worst.values()) < TOLERANCE, worst
    model, views = tiny.smog(update='average'), tiny.images(6)
    model.head.groups.members.copy_(torch.tensor([3, 0, 1, 10, 2]))
    with torch.no_grad():
        hits = naive.assign_groups(model.neck(model.backbone(views[0])), model.head.groups.rows).bincount(minlength=5)
    beta = [1 - 1 / max(1, n + m) for n, m in zip(model.head.groups.members.tolist(), hits.tolist())]
    worst = step_differences(model, views, beta=beta)
    assert max(worst.values()) < TOLERANCE, worst
    assert torch.equal(model.head.groups.members, torch.tensor([3, 0, 1, 10, 2]) + hits)


def losses_along(model: SMoG, parameter: Tensor, direction: Tensor, views: list[Tensor], epsilon: float) -> Tensor:
    """Return the central difference of a step's loss in a parameter; the state of the model is restored."""
    state, values = copy.deepcopy(model.state_dict()), []
    for sign in (1, -1):
        with torch.no_grad():
            parameter.add_(sign * epsilon * direction)
            values.append(model.loss(views)['loss_contrastive'])
        model.load_state_dict(state)
    return (values[0] - values[1]) / (2 * epsilon)


@pytest.mark.parametrize('update', UPDATES)
def test_gradient_through_the_updated_groups_is_there_and_right(update):
    model, views = tiny.smog(beta=0.1, update=update), tiny.images(6)
    weight = model.neck.g[3].weight
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = losses_along(model, weight, direction, views, 1e-6)
    groups = model.head.groups.rows.clone()
    (whole,) = torch.autograd.grad(model.loss(views)['loss_contrastive'], weight)
    assert (whole * direction).sum().item() == pytest.approx(expected.item(), rel=1e-6)
    # A loss on detached groups has another gradient.
    z = model.neck(model.backbone(views[0]))
    with torch.no_grad():
        c_b = LF.assign_groups(model.teacher(views[1]), groups)
    (partial,) = torch.autograd.grad(
        LF.group_contrast(model.head.predictor(z), model.head.groups.rows, c_b, 0.1), weight
    )
    assert (whole - partial).norm() > 0.01 * whole.norm()
    # It is that of `detach_groups`, which moves the groups alike.
    detached = tiny.smog(beta=0.1, update=update, detach_groups=True)
    loss = detached.loss(views)['loss_contrastive']
    (ours,) = torch.autograd.grad(loss, detached.neck.g[3].weight)
    torch.testing.assert_close(ours, partial, rtol=0, atol=1e-12)
    assert torch.equal(detached.head.groups.rows, model.head.groups.rows)


@pytest.mark.filterwarnings('ignore:the parameters of SMoG have changed')
@pytest.mark.parametrize('accumulated', [1, 3])
def test_roles_alternate_by_optimizer_steps_and_go_on_after_a_load(accumulated):
    model, views = tiny.smog(), tiny.images()
    swapped = [views[1], views[0]]
    for step in range(5):
        for _ in range(accumulated):
            fresh = [x.clone().requires_grad_() for x in views]
            model.loss(fresh)['loss_contrastive'].backward()
            assert [x.grad is not None for x in fresh] == [step % 2 == 0, step % 2 == 1]
        model.after_optimizer_step(0.5)
    assert model.head.groups.steps.item() == 5
    resumed = tiny.smog(seed=3)
    resumed.loss(views)
    resumed.load_state_dict(model.state_dict())
    assert torch.equal(resumed.loss(views)['loss_contrastive'], model.loss(views)['loss_contrastive'])
    assert resumed.loss(swapped)['loss_contrastive'] != model.loss(views)['loss_contrastive']


def test_only_the_large_online_view_moves_the_groups_and_is_kept():
    states = []
    for seed in (0, 1):
        model = tiny.smog(num_views=4)
        model.cache.start(2)
        model.loss([*tiny.images(), *tiny.images(seed=seed, size=4)])
        states.append((model.head.groups.rows.clone(), model.cache.features()[0]))
    assert torch.equal(states[0][0], states[1][0])
    assert torch.equal(states[0][1], states[1][1])
    assert len(states[0][1]) == 4


def test_beta_goes_linearly_to_its_end_and_is_in_the_checkpoint():
    model = tiny.smog(beta=1.0, end_beta=0.9)
    assert model.head.groups.beta == 1
    for progress, beta in ((0.25, 0.975), (0.5, 0.95), (1.0, 0.9)):
        model.after_optimizer_step(progress)
        assert model.head.groups.beta.item() == pytest.approx(beta)
    resumed = tiny.smog()
    resumed.load_state_dict(model.state_dict())
    assert resumed.head.groups.beta == model.head.groups.beta
    fixed = tiny.smog(beta=0.99, end_beta=None)
    fixed.after_optimizer_step(0.5)
    assert fixed.head.groups.beta == 0.99
    whole = MomentumGroups(4, num_groups=6, beta=1, end_beta=0)  # as from a command line
    whole.set_progress(0.25)
    assert whole.beta == 0.75


def test_with_beta_one_the_groups_stay():
    model = tiny.smog(beta=1.0)
    before = model.head.groups.rows.clone()
    model.loss(tiny.images(6))
    torch.testing.assert_close(model.head.groups.rows, before, rtol=0, atol=1e-15)


@pytest.mark.parametrize('update', UPDATES)
def test_every_update_trains_and_keeps_unit_groups(update):
    model = tiny.smog(update=update)
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    before = {n: v.clone() for n, v in model.state_dict().items()}
    for step in range(3):
        wrapper.update_params(model.parse_losses(model.loss(tiny.images(6, seed=step)))[0])
        model.after_optimizer_step((step + 1) / 3)
    after = model.state_dict()
    assert all(v.isfinite().all() for v in after.values())
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {n for n in trained if not torch.equal(after[n], before[n])} == trained
    assert not torch.equal(after['head.groups.rows'], before['head.groups.rows'])
    assert not model.head.groups.rows.requires_grad
    torch.testing.assert_close(model.head.groups.rows.norm(dim=1), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize('batch', [3, 5, 9])
def test_random_groups_are_features_of_the_batch(batch):
    model, views = tiny.smog(update='random').eval(), tiny.images(batch)
    with torch.no_grad():
        z = F.normalize(model.neck(model.backbone(views[0])), dim=1)
    before = model.head.groups.rows.clone()
    model.loss(views)
    equal = torch.cdist(model.head.groups.rows, z) < 1e-6  # (l, N)
    assert equal.sum() == min(5, batch) and equal.sum(0).max() == equal.sum(1).max() == 1
    assert torch.equal(model.head.groups.rows[~equal.any(1)], before[~equal.any(1)])


def test_every_iteration_of_a_step_draws_its_own_random_groups():
    groups = MomentumGroups(4, num_groups=6, update='random')
    z, assignment = torch.randn(9, 4, generator=torch.Generator().manual_seed(1)), torch.zeros(9, dtype=torch.long)
    draws = []
    for step in range(3):
        for _ in range(2):  # accumulated iterations
            moved = groups.move(z, assignment, assignment)
            draws.append((moved.places.tolist(), moved.rows))
        generator = torch.Generator().manual_seed(step + 1)  # that of a step without accumulation
        features, places = torch.randperm(9, generator=generator)[:6], torch.randperm(6, generator=generator)
        assert draws[-2][0] == places.tolist() and torch.equal(draws[-2][1], F.normalize(z, dim=1)[features])
        groups.end_step()
    assert all(a[0] != b[0] and not torch.equal(a[1], b[1]) for i, a in enumerate(draws) for b in draws[:i])


def test_groups_without_features_keep_their_bits():
    model, views = tiny.smog(num_groups=50, beta=0.5), tiny.images(6)
    before = model.head.groups.rows.clone()
    model.loss(views)
    assert torch.equal((model.head.groups.rows != before).any(1), model.head.groups.recent > 0)


@pytest.mark.parametrize('count', [300, 30000])
def test_any_number_of_groups(count):
    model = SMoG(
        tiny.backbone_config(),
        tiny.smog_neck_config(),
        **tiny.arguments('SMoG', hid_channels=tiny.HIDDEN, num_groups=count),
    )
    loss = model.loss([x.float() for x in tiny.images()])['loss_contrastive']
    loss.backward()
    assert loss.isfinite() and model.head.groups.rows.shape == (count, tiny.EMBEDDING)


def test_bfloat16_autocast_keeps_groups_and_loss_in_float32():
    model = SMoG(
        tiny.backbone_config(),
        tiny.smog_neck_config(),
        **tiny.arguments('SMoG', hid_channels=tiny.HIDDEN, num_groups=5, beta=0.5),
    )
    model.cache.start(1)
    with torch.autocast('cpu', torch.bfloat16):
        loss = model.loss([x.float() for x in tiny.images()])['loss_contrastive']
    loss.backward()
    assert loss.dtype == model.head.groups.rows.dtype == torch.float32 and model.cache.rows.dtype == torch.bfloat16
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def test_share_of_groups_used():
    model, views = tiny.smog(num_groups=50), tiny.images(6)
    with torch.no_grad():
        hit = {int(k) for k in naive.assign_groups(model.neck(model.backbone(views[0])), model.head.groups.rows)}
    model.loss(views)
    assert model.head.groups.pop_usage().used == pytest.approx(len(hit) / 50)
    assert model.head.groups.pop_usage().used == 0


def test_agreement_of_online_network_and_teacher():
    model, agreed = tiny.smog(), []
    for step in range(3):
        views = tiny.images(6, seed=step)
        x_a, x_b = views if step % 2 == 0 else views[::-1]
        with torch.no_grad():
            c_a = naive.assign_groups(model.neck(model.backbone(x_a)), model.head.groups.rows)
            c_b = naive.assign_groups(model.teacher(x_b), model.head.groups.rows)
        agreed += (c_a == c_b).tolist()
        model.loss(views)
        model.head.groups.end_step()
    assert 0 < sum(agreed) < 18
    assert model.head.groups.pop_usage().agreement == pytest.approx(sum(agreed) / 18)
    assert math.isnan(model.head.groups.pop_usage().agreement)


def test_clustering_sets_the_groups_and_their_sizes():
    model = tiny.smog()
    model.cache.start(3)
    for seed in range(3):
        model.loss(tiny.images(8, seed=seed))
    rows = model.cache.features()[0].clone()
    clusters = model.head.groups.cluster(*model.cache.features(), seed=0)
    assert len(rows) == 24
    nearest = LF.assign_groups(rows, model.head.groups.rows.float())
    assert torch.equal(nearest.bincount(minlength=5), model.head.groups.members)
    assert clusters.inertia == pytest.approx(
        (2 - 2 * (rows @ model.head.groups.rows.float().T).amax(1)).mean().item(), rel=1e-5
    )


def cached_under_ddp(rank: int, broadcast_buffers: bool) -> Tensor:
    model = tiny.smog().float().train()
    model.cache.start(2)
    wrapped = MMDistributedDataParallel(model, broadcast_buffers=broadcast_buffers)
    for step in range(2):
        wrapped([x.float() for x in tiny.images(4, 2, 10 * rank + step)], mode='loss')
    return model.cache.features()[0]


def test_broadcast_buffers_spares_the_features_of_each_rank(tmp_path):
    """DDP's default, which mmengine leaves on if the config has a ``model_wrapper_cfg``."""
    caches = []
    for broadcast_buffers in (False, True):
        (folder := tmp_path / str(broadcast_buffers)).mkdir()
        caches.append(on_ranks(2, folder, cached_under_ddp, broadcast_buffers))
    assert not torch.equal(caches[0][0], caches[0][1])
    assert all(torch.equal(*pair) for pair in zip(*caches))


def test_resetting_the_teacher_copies_the_online_network():
    model = tiny.smog()
    model.reset_teacher()
    networks = model.teacher.module
    for name, module in (('backbone', model.backbone), ('neck', model.neck)):
        ours, theirs = getattr(networks, name).state_dict(), module.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_no_teacher_parameter_in_the_optimizer():
    model = tiny.smog()
    wrapper = TypedOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model)
    in_optimizer = {p for group in wrapper.optimizer.param_groups for p in group['params']}
    assert in_optimizer == {p for n, p in model.named_parameters() if not n.startswith('teacher.')}
    assert any(n.startswith('head.predictor.') for n, _ in model.named_parameters())
    assert not hasattr(model.teacher.module, 'predictor')


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        (dict(num_groups=1), ['num_groups', '1']),
        (dict(temperature=0.0), ['temperature', '0.0']),
        (dict(beta=1.1), ['beta', '1.1', '[0, 1]']),
        (dict(end_beta=-0.5), ['end_beta', '-0.5']),
        (dict(update='sinkhorn'), ['sinkhorn', 'momentum', 'random', 'latest', 'average']),
        (dict(num_views=1), ['num_views', '1']),
        (dict(cache_dtype='int8'), ['int8', 'bfloat16', 'float32']),
        (dict(neck_changes=dict(activation='tanh')), ['tanh', 'relu', 'gelu']),
    ],
    ids=str,
)
def test_constructor_errors(changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny.smog(**changes)
    assert all(number in str(error.value) for number in numbers), str(error.value)


def test_number_of_views_and_width_are_checked():
    with pytest.raises(ValueError, match='4 views'):
        tiny.smog(num_views=4).loss(tiny.images())
    with pytest.raises(ValueError, match=r'in_channels = 9.* 64 channels'):
        SMoG(BACKBONES['resnet'][0], tiny.smog_neck_config(in_channels=9), **tiny.arguments('SMoG'))
    with pytest.raises(ValueError, match=r'\(N, 9, H, W\).*\(4, 8, 3, 3\)'):
        tiny.smog(neck_changes=dict(in_channels=9)).loss(tiny.images())


BACKBONES = {
    'resnet': (dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8), 64),
    'swin': (
        dict(
            type='mmpretrain.SwinTransformer',
            arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
            img_size=32,
            window_size=4,
            pad_small_map=True,
        ),
        64,
    ),
    'vit': (
        dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
            img_size=32,
            patch_size=8,
        ),
        16,
    ),
}


@pytest.mark.parametrize('name', list(BACKBONES))
def test_backbones_of_mmpretrain(name):
    backbone, channels = BACKBONES[name]
    neck = tiny.smog_neck_config(in_channels=channels, activation='gelu')
    views = 2 if name == 'vit' else 3  # the ViT of mmpretrain accepts images of one size
    model = SMoG(
        backbone, neck, **tiny.arguments('SMoG', hid_channels=tiny.HIDDEN, num_groups=5, beta=0.5, num_views=views)
    )
    model.init_weights()
    torch.manual_seed(0)
    inputs = [torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32), torch.randn(4, 3, 16, 16)][:views]
    model.loss(inputs)['loss_contrastive'].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert next(model.backbone.parameters()).grad.abs().max() > 0

"""A whole step of LEWEL_M against naive loops, and against mmpretrain's MoCo where the two coincide."""

import pytest
import torch
import torch.nn.functional as F
from helpers import references as naive
from helpers import tiny, twins
from mmengine.optim import OptimWrapper

from lewel_plugins import dist
from lewel_plugins.optim import TypedOptimWrapperConstructor

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


@pytest.mark.parametrize(
    'changes',
    [dict(), dict(num_groups=2, aligned_channels=5), dict(coupled=False), dict(alignment='uniform', num_groups=1)],
    ids=str,
)
@pytest.mark.parametrize('teacher_norm', ['train', 'eman'])
def test_step_equals_the_naive_step(changes, teacher_norm):
    model = tiny.lewel_m(neck_changes=changes, beta=0.3, temperature=0.5, teacher_norm=teacher_norm)
    assert model.loss(tiny.images(3)).keys() == {'loss_global', 'loss_aligned'}
    worst = tiny.step_differences(model, tiny.images(3, seed=1))
    assert max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('maps', [dict(), dict(alignment='uniform', num_groups=8)], ids=str)  # the latter as baselines
def test_beta_zero_uncoupled_is_mmpretrains_moco(maps):
    model = tiny.lewel_m(neck_changes=dict(coupled=False, **maps), beta=0.0, momentum=0.3)
    worst = twins.walk_together(model, twins.moco(model), steps=7)  # the queue of 12 wraps twice
    assert max(worst.values()) < TOLERANCE, worst


def test_the_same_on_a_residual_network():
    worst = twins.on_resnet('lewel_m', steps=2)
    assert max(worst.values()) < TOLERANCE, worst


def test_coupled_is_not_moco():
    """The comparison above can fail: with the joint BN, the first steps already differ."""
    model = tiny.lewel_m(beta=0.0, momentum=0.3)
    assert twins.walk_together(model, twins.moco(model), steps=2)['loss'] > 1e-3


def test_the_first_view_queries_the_second():
    model, views = tiny.lewel_m(), tiny.images()
    fresh = [x.clone().requires_grad_() for x in views]
    sum(model.loss(fresh).values()).backward()
    assert fresh[0].grad.abs().max() > 0
    assert fresh[1].grad is None


def test_this_steps_keys_are_no_negatives_of_this_step():
    model, views = tiny.lewel_m(beta=0.0), tiny.images()
    before = model.queue.keys.clone()
    loss = sum(model.loss(views).values())
    assert not torch.equal(model.queue.keys[:, :4], before[:, :4])
    assert torch.equal(model.queue.keys[:, 4:], before[:, 4:])
    assert model.queue.position.item() == 4
    with torch.no_grad():
        z = model.teacher(views[1])[0]
    torch.testing.assert_close(model.queue.keys[:, :4], F.normalize(z, dim=1).T, rtol=0, atol=TOLERANCE)
    assert loss.isfinite()


def test_teacher_is_averaged_with_a_constant_alpha_and_keeps_its_own_statistics():
    model = tiny.lewel_m(momentum=0.001)
    before = {n: v.clone() for n, v in model.teacher.state_dict().items()}
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    wrapper.update_params(model.parse_losses(model.loss(tiny.images()))[0])
    statistics = {n: v.clone() for n, v in model.teacher.state_dict().items() if 'running' in n}
    assert all(not torch.equal(v, before[n]) for n, v in statistics.items())  # changed by its batch, in training mode
    model.after_optimizer_step(0.7)
    online = {
        **{f'module.backbone.{n}': p for n, p in model.backbone.named_parameters()},
        **{f'module.neck.{n}': p for n, p in model.neck.named_parameters()},
    }
    for name, value in model.teacher.named_parameters():
        torch.testing.assert_close(value.data, naive.ema(before[name], online[name].data, 0.999), rtol=0, atol=1e-12)
    assert all(torch.equal(model.teacher.state_dict()[n], v) for n, v in statistics.items())


def test_eman_teacher_averages_buffers_and_its_keys_do_not_depend_on_the_batch():
    model = tiny.lewel_m(momentum=0.2, teacher_norm='eman').train()
    assert not any(module.training for module in model.teacher.module.modules())
    (x_q, x_k), before = tiny.images(6), {n: v.clone() for n, v in model.state_dict().items()}
    together = model._keys(x_k, None)
    apart = [torch.cat(parts) for parts in zip(*(model._keys(x, None) for x in x_k.split(2)))]
    assert naive.largest_difference(list(together), apart) < TOLERANCE
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    wrapper.update_params(model.parse_losses(model.loss([x_q, x_k]))[0])
    assert all(torch.equal(v, before[f'teacher.{n}']) for n, v in model.teacher.state_dict().items())
    model.after_optimizer_step(0.7)
    after = model.state_dict()
    averaged = [n for n, v in after.items() if n.startswith('teacher.module.') and v.is_floating_point()]
    assert sum('running' in name for name in averaged) == 6  # mean and variance in the BNs of backbone, g and p
    for name in averaged:
        expected = naive.ema(before[name], after[name.removeprefix('teacher.module.')], 0.8)
        torch.testing.assert_close(after[name], expected, rtol=0, atol=1e-12)


def test_keys_of_a_train_teacher_depend_on_the_batch():
    """The comparison above can fail."""
    model, (_, x_k) = tiny.lewel_m().train(), tiny.images(6)
    assert (model._keys(x_k, None)[0][:2] - model._keys(x_k[:2], None)[0]).abs().max() > 1e-3


@pytest.mark.parametrize('teacher_norm', ['train', 'eman'])
def test_only_a_teacher_with_statistics_of_its_batch_shuffles(teacher_norm, monkeypatch):
    shuffles = []
    monkeypatch.setattr(dist, 'start_batch_shuffle', lambda x: shuffles.append(x) or (lambda: (x, None)))
    tiny.lewel_m(teacher_norm=teacher_norm).train().loss(tiny.images())
    assert len(shuffles) == (teacher_norm == 'train')


@pytest.mark.parametrize(
    'settings',
    [
        dict(beta=0.0),
        dict(beta=0.0, neck=dict(coupled=False)),
        dict(beta=1.0),
        dict(neck=dict(coupled=False)),
        dict(neck=dict(alignment='random')),
        dict(neck=dict(alignment='uniform')),
        dict(neck=dict(aligned_channels=5)),
        dict(neck=dict(num_groups=8)),
        dict(neck=dict(num_groups=1)),
        dict(teacher_norm='eman'),
    ],
    ids=str,
)
def test_every_switch_trains_a_step(settings):
    settings = dict(settings)
    beta = settings.get('beta', 0.5)
    model = tiny.lewel_m(neck_changes=settings.pop('neck', {}), **settings)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    wrapper.update_params(model.parse_losses(model.loss(tiny.images()))[0])
    assert all(value.isfinite().all() for value in model.state_dict().values())
    expected = {n for n, p in model.named_parameters() if p.requires_grad}
    if beta == 0:
        expected = {n for n in expected if n.startswith(('backbone.', 'neck.g.'))}
    assert {n for n, p in model.named_parameters() if not torch.equal(p, before[n])} == expected


def test_no_teacher_parameter_in_the_optimizer():
    model = tiny.lewel_m()
    wrapper = TypedOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model)
    in_optimizer = {p for group in wrapper.optimizer.param_groups for p in group['params']}
    assert in_optimizer == {p for n, p in model.named_parameters() if not n.startswith('teacher.')}


def test_queue_and_teacher_are_in_the_checkpoint():
    keys = tiny.lewel_m().state_dict().keys()
    assert {'queue.keys', 'queue.position', 'teacher.updates', 'teacher.module.neck.g.0.weight'} <= keys


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        (dict(beta=2.0), ['beta', '2.0', '[0, 1]']),
        (dict(temperature=0.0), ['temperature', '0.0']),
        (dict(queue_len=0), ['length', '0']),
        (dict(momentum=-0.1), ['momentum', '-0.1']),
        (dict(teacher_norm='sync'), ['sync', 'train', 'eman']),
    ],
    ids=str,
)
def test_constructor_errors(changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny.lewel_m(**changes)
    assert all(number in str(error.value) for number in numbers), str(error.value)


def test_a_batch_larger_than_the_queue_is_named():
    with pytest.raises(ValueError, match='length 3 .* 4 keys'):
        tiny.lewel_m(queue_len=3).loss(tiny.images())


def test_a_batch_of_one_has_no_aligned_negatives():
    with pytest.raises(ValueError, match='at least 2, got 1'):
        tiny.lewel_m().eval().loss(tiny.images(1))

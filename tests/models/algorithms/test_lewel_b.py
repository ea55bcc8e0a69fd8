"""A whole step of LEWEL_B against naive loops, and against mmpretrain's BYOL where the two coincide."""

import warnings
from unittest.mock import patch

import pytest
import torch
from helpers import references as naive
from helpers import tiny, twins
from mmengine.optim import OptimWrapper

from lewel_plugins.models import LEWELB
from lewel_plugins.models.heads import lewel_predict_head
from lewel_plugins.models.necks import lewel_neck
from lewel_plugins.optim import TypedOptimWrapperConstructor

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


@pytest.mark.parametrize('teacher_norm', ['eman', 'train'])
@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(num_groups=2, aligned_channels=5),
        dict(coupled=False),
        dict(alignment='uniform', num_groups=1),
    ],
    ids=str,
)
def test_step_equals_the_naive_step(changes, teacher_norm):
    model = tiny.lewel_b(neck_changes=changes, teacher_norm=teacher_norm, beta=0.3)
    assert model.loss(tiny.images(3)).keys() == {'loss_global', 'loss_aligned'}
    worst = tiny.step_differences(model, tiny.images(3, seed=1))
    assert max(worst.values()) < TOLERANCE, worst


def test_the_path_of_mixed_precision_does_the_naive_step():
    model = tiny.lewel_b(neck_changes=dict(num_groups=2, aligned_channels=5), beta=0.3)
    with (
        patch.object(lewel_neck, 'in_low_precision', return_value=True),
        patch.object(lewel_predict_head, 'in_low_precision', return_value=True) as switch,
    ):
        worst = tiny.step_differences(model, tiny.images(3, seed=1))
    assert switch.called and max(worst.values()) < TOLERANCE, worst


@pytest.mark.parametrize('maps', [dict(), dict(alignment='uniform', num_groups=8)], ids=str)  # the latter as baselines
def test_beta_zero_uncoupled_is_mmpretrains_byol(maps):
    model = tiny.lewel_b(neck_changes=dict(coupled=False, **maps), teacher_norm='train', beta=0.0, momentum=0.3)
    worst = twins.walk_together(model, twins.byol(model), steps=6)
    assert max(worst.values()) < TOLERANCE, worst


def test_the_same_on_a_residual_network():
    worst = twins.on_resnet('lewel_b', steps=2)
    assert max(worst.values()) < TOLERANCE, worst


def test_coupled_is_not_byol():
    """The comparison above can fail: with the joint BN, the first steps already differ."""
    model = tiny.lewel_b(teacher_norm='train', beta=0.0, momentum=0.3)
    assert twins.walk_together(model, twins.byol(model), steps=2)['loss'] > 1e-3


def test_swapping_the_views_changes_nothing():
    model, (first, second) = tiny.lewel_b().eval(), tiny.images()
    losses = model.loss([first, second]), model.loss([second, first])
    for name, value in losses[0].items():
        assert value.item() == pytest.approx(losses[1][name].item(), abs=1e-12)


def trained_step(model: LEWELB, views: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    wrapper = OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper.update_params(model.parse_losses(model.loss(views))[0])
    return before


def test_eman_averages_buffers_with_the_same_momentum_and_stays_in_eval_mode():
    model = tiny.lewel_b(teacher_norm='eman', momentum=0.2)
    model.train()
    assert not any(m.training for m in model.teacher.module.modules())
    before = trained_step(model, tiny.images())
    for name, value in model.teacher.state_dict().items():
        assert torch.equal(value, before[f'teacher.{name}'])  # forward and backward left the teacher alone
    model.after_optimizer_step(0.25)
    alpha = naive.cosine_alpha(0.8, 0.25)
    assert model.teacher.momentum == pytest.approx(1 - alpha)
    after = model.state_dict()
    checked = 0
    for name, value in after.items():
        if name.startswith('teacher.module.') and value.is_floating_point():
            online = after[name.removeprefix('teacher.module.')]
            expected = naive.ema(before[name], online, alpha)
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)
            checked += 'running' in name
    assert checked == 6  # mean and variance in the BNs of backbone, g and p


def test_train_teacher_keeps_its_own_statistics():
    model = tiny.lewel_b(teacher_norm='train', momentum=0.2)
    assert all(m.training for m in model.teacher.module.modules())
    before = trained_step(model, tiny.images())
    moved = {n: v.clone() for n, v in model.teacher.state_dict().items() if 'running' in n}
    assert all(not torch.equal(v, before[f'teacher.{n}']) for n, v in moved.items())  # its forward passes move them
    model.after_optimizer_step(0.5)
    after = model.teacher.state_dict()
    assert all(torch.equal(after[n], v) for n, v in moved.items())
    name = 'module.backbone.conv.weight'
    expected = naive.ema(before[f'teacher.{name}'], model.backbone.conv.weight, naive.cosine_alpha(0.8, 0.5))
    torch.testing.assert_close(after[name], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    'settings',
    [
        dict(beta=0.0),
        dict(beta=1.0),
        dict(beta=0.0, neck=dict(coupled=False)),
        dict(neck=dict(alignment='random')),
        dict(neck=dict(alignment='uniform')),
        dict(neck=dict(aligned_channels=5)),
        # d and h of Table 7, with d divided by 32
        dict(neck=dict(out_channels=16, num_groups=4)),
        *[dict(neck=dict(out_channels=8, num_groups=h)) for h in (1, 2, 4, 8)],
        dict(neck=dict(out_channels=4, num_groups=4)),
        dict(teacher_norm='train'),
    ],
    ids=str,
)
def test_every_switch_trains_a_step(settings):
    settings = dict(settings)
    beta = settings.get('beta', 0.5)
    model = tiny.lewel_b(neck_changes=settings.pop('neck', {}), **settings)
    before = trained_step(model, tiny.images())
    after = model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    changed = {n for n, p in model.named_parameters() if p.requires_grad and not torch.equal(after[n], before[n])}
    expected = {n for n, p in model.named_parameters() if p.requires_grad}
    if beta == 0:  # the aligned branch gets no gradient
        expected = {n for n in expected if n.startswith(('backbone.', 'neck.g.', 'head.q.'))}
    if beta == 1:
        expected = {n for n in expected if not n.startswith('head.q.')}
    assert changed == expected


def test_no_teacher_parameter_in_the_optimizer():
    model = tiny.lewel_b()
    wrapper = TypedOptimWrapperConstructor(dict(optimizer=dict(type='SGD', lr=0.1)))(model)
    in_optimizer = {p for group in wrapper.optimizer.param_groups for p in group['params']}
    assert in_optimizer.isdisjoint(model.teacher.parameters())
    assert in_optimizer == {p for n, p in model.named_parameters() if not n.startswith('teacher.')}
    sum(model.loss(tiny.images()).values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.teacher.parameters())


def test_before_training_copies_the_online_weights_only_before_the_first_update():
    model = tiny.lewel_b()
    model.before_training()
    online, teacher = model.backbone.state_dict(), model.teacher.module.backbone.state_dict()
    assert all(torch.equal(teacher[name], value) for name, value in online.items())
    model.after_optimizer_step(1.0)  # α = 1: the teacher stays
    tiny.randomize(model.backbone, seed=5)
    model.before_training()
    assert not torch.equal(model.teacher.module.backbone.conv.weight, model.backbone.conv.weight)


def test_a_teacher_that_is_never_updated_is_reported():
    model = tiny.lewel_b()
    trained_step(model, tiny.images())
    with pytest.warns(UserWarning, match='MomentumUpdateHook'):
        model.loss(tiny.images())
    model = tiny.lewel_b()
    trained_step(model, tiny.images())
    model.after_optimizer_step(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        model.loss(tiny.images())


@pytest.mark.parametrize(
    ('changes', 'numbers'),
    [
        (dict(beta=1.5), ['beta', '1.5', '[0, 1]']),
        (dict(beta=-0.1), ['beta', '-0.1']),
        (dict(momentum=1.2), ['momentum', '1.2', '[0, 1]']),
        (dict(teacher_norm='sync_bn'), ['sync_bn', 'eman', 'train']),
        (dict(hid_channels=0), ['hid_channels', '0']),
    ],
    ids=str,
)
def test_constructor_errors(changes, numbers):
    with pytest.raises(ValueError) as error:
        tiny.lewel_b(**changes)
    assert all(number in str(error.value) for number in numbers), str(error.value)


def test_neck_width_is_checked_against_the_backbone():
    backbone = dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8)
    with pytest.raises(ValueError, match='in_channels = 8.* 64 channels'):
        LEWELB(backbone, tiny.neck_config(), **tiny.arguments('LEWELB'))


@pytest.mark.parametrize('inputs', [tiny.images(views=1), tiny.images(views=3), tiny.images()[0]], ids=['1', '3', 'x'])
def test_number_of_views_is_checked(inputs):
    with pytest.raises(ValueError, match='2 views'):
        tiny.lewel_b().loss(inputs)


BACKBONES = {
    'resnet': dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8),
    'swin': dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
        img_size=32,
        window_size=4,
        pad_small_map=True,
    ),
    'vit': dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16),
        img_size=32,
        patch_size=8,
        out_type='featmap',
        with_cls_token=False,
    ),
}


@pytest.mark.parametrize(('name', 'channels'), [('resnet', 64), ('swin', 64), ('vit', 16)])
def test_backbones_of_mmpretrain(name, channels):
    model = LEWELB(
        BACKBONES[name], tiny.neck_config(in_channels=channels), **tiny.arguments('LEWELB', hid_channels=tiny.HIDDEN)
    )
    model.init_weights()
    torch.manual_seed(0)
    views = [torch.randn(4, 3, 32, 32), torch.randn(4, 3, 32, 32)]
    sum(model.loss(views).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert next(model.backbone.parameters()).grad.abs().max() > 0

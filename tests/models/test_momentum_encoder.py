from copy import deepcopy

import pytest
import torch
from helpers import references as naive
from torch import Tensor, nn

from lewel_plugins.models import MomentumEncoder
from lewel_plugins.models.momentum_encoder import running_statistics

pytestmark = pytest.mark.core


def online(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU()).double()
    neck = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)).double()
    for module in (backbone[1], neck[1]):
        module.running_mean.normal_()
        module.running_var.uniform_(0.5, 2)
    return backbone, neck


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_starts_as_a_copy_without_gradient():
    backbone, neck = online()
    teacher = MomentumEncoder(backbone, neck, 0.1)
    assert all(torch.equal(v, backbone.state_dict()[n]) for n, v in teacher.module.backbone.state_dict().items())
    assert all(torch.equal(v, neck.state_dict()[n]) for n, v in teacher.module.neck.state_dict().items())
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in backbone.parameters())
    assert not teacher(torch.randn(3, 4).double().requires_grad_()).requires_grad
    own = {p.data_ptr() for p in teacher.parameters()}
    assert own.isdisjoint(p.data_ptr() for m in (backbone, neck) for p in m.parameters())


@pytest.mark.parametrize('norm', ['train', 'eman'])
def test_update_equals_the_average_tensor_by_tensor(norm):
    teacher = MomentumEncoder(*online(), momentum=0.2, end_momentum=0.0, norm=norm)
    for step, progress in enumerate((0.25, 0.5, 1.0)):
        backbone, neck = online(step + 1)
        before = snapshot(teacher.module)
        teacher.update(backbone, neck, progress)
        alpha = naive.cosine_alpha(0.8, progress)
        source = {f'backbone.{n}': v for n, v in backbone.state_dict().items()}
        source |= {f'neck.{n}': v for n, v in neck.state_dict().items()}
        for name, value in teacher.module.state_dict().items():
            averaged = value.is_floating_point() and ('running' not in name or norm == 'eman')
            expected = naive.ema(before[name], source[name], alpha) if averaged else before[name]
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-14)
        assert teacher.updates.item() == step + 1
        assert teacher.momentum == pytest.approx(1 - alpha)
        teacher.forget_tensors()  # a new object replaces the online network


def test_one_update_follows_the_online_network_in_place():
    backbone, neck = online()
    teacher = MomentumEncoder(backbone, neck, momentum=1.0)  # α = 0
    for _ in range(2):
        for p in backbone.parameters():
            p.data.add_(1)
        teacher.update(backbone, neck, 0.5)
        assert torch.equal(teacher.module.backbone[0].weight, backbone[0].weight)


def test_momentum_schedule():
    cosine = MomentumEncoder(*online(), momentum=0.02, end_momentum=0.0)
    for progress in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert cosine.momentum_at(progress) == pytest.approx(1 - naive.cosine_alpha(0.98, progress))
    constant = MomentumEncoder(*online(), momentum=0.001)
    assert constant.momentum_at(0.0) == constant.momentum_at(0.7) == 0.001
    elsewhere = MomentumEncoder(*online(), momentum=0.4, end_momentum=0.1)
    assert [elsewhere.momentum_at(p) for p in (0, 0.5, 1)] == pytest.approx([0.4, 0.25, 0.1])


def test_eman_stays_in_eval_mode_and_train_does_not():
    for norm, expected in (('eman', False), ('train', True)):
        teacher = MomentumEncoder(*online(), momentum=0.1, norm=norm)
        for _ in range(2):
            teacher.train()
            assert teacher.module.backbone[1].training is expected
        teacher.eval()
        assert not teacher.module.backbone[1].training


def test_moving_to_another_type_after_an_update_keeps_the_average_right():
    backbone, neck = online()
    teacher = MomentumEncoder(backbone, neck, momentum=0.5, norm='eman')
    teacher.update(backbone, neck, 0)
    parent = nn.ModuleList([backbone, neck, teacher]).float()
    for p in parent[0].parameters():
        p.data.add_(1)
    parent[0][1].running_mean.add_(1)
    before = snapshot(teacher.module)
    teacher.update(parent[0], parent[1], 0)
    for name in ('0.weight', '1.running_mean'):
        expected = 0.5 * (before[f'backbone.{name}'] + parent[0].state_dict()[name])
        torch.testing.assert_close(teacher.module.backbone.state_dict()[name], expected)


def test_a_copy_has_an_average_of_its_own():
    backbone, neck = online()
    teacher = MomentumEncoder(backbone, neck, momentum=0.5)
    teacher.update(backbone, neck, 0)
    other_backbone, other_neck, other = deepcopy((backbone, neck, teacher))
    for p in other_backbone.parameters():
        p.data.add_(1)
    untouched = snapshot(teacher)
    other.update(other_backbone, other_neck, 0)
    assert all(torch.equal(v, untouched[n]) for n, v in teacher.state_dict().items())
    assert not torch.equal(other.module.backbone[0].weight, teacher.module.backbone[0].weight)


def test_copy_from_takes_buffers_too():
    teacher = MomentumEncoder(*online(0), momentum=0.1)
    backbone, neck = online(1)
    backbone[1].num_batches_tracked.fill_(7)
    teacher.copy_from(backbone, neck)
    assert all(torch.equal(v, backbone.state_dict()[n]) for n, v in teacher.module.backbone.state_dict().items())
    assert all(torch.equal(v, neck.state_dict()[n]) for n, v in teacher.module.neck.state_dict().items())


def test_running_statistics_leave_out_norms_that_have_none():
    module = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.LayerNorm(3))
    assert [t.data_ptr() for t in running_statistics(module)] == [
        module[0].running_mean.data_ptr(),
        module[0].running_var.data_ptr(),
    ]


@pytest.mark.parametrize(
    ('settings', 'numbers'),
    [
        (dict(momentum=1.01), ['momentum', '1.01', '[0, 1]']),
        (dict(momentum=-0.1), ['momentum', '-0.1']),
        (dict(momentum=0.1, end_momentum=2), ['end_momentum', '2']),
        (dict(momentum=0.1, norm='sync'), ['sync', 'train', 'eman']),
    ],
    ids=str,
)
def test_errors(settings, numbers):
    with pytest.raises(ValueError) as error:
        MomentumEncoder(*online(), **settings)
    assert all(number in str(error.value) for number in numbers), str(error.value)

import pytest
import torch
from helpers import tiny
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmpretrain.utils import register_all_modules
from torch import nn

from lewel_plugins.models import LEWELB
from lewel_plugins.optim import LARS, TypedOptimWrapperConstructor

pytestmark = pytest.mark.core

register_all_modules(init_default_scope=False)

BYOL_SETTINGS = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, adapt_norm_and_bias=False)


def constructor(paramwise_cfg: dict | None = None, **optimizer: object) -> TypedOptimWrapperConstructor:
    settings = dict(type='lewel_plugins.LARS', lr=2.0, weight_decay=0.5, **optimizer)
    return TypedOptimWrapperConstructor(dict(optimizer=settings), paramwise_cfg)


def named_settings(model: nn.Module, groups: list[dict], option: str) -> dict[str, float]:
    names = {p: n for n, p in model.named_parameters()}
    return {names[p]: group[option] for group in groups for p in group['params']}


class Mixed(nn.Module):
    """Every kind of parameter, none of them with its usual name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.first = nn.BatchNorm2d(4)
        self.second = nn.GroupNorm(2, 4)
        self.third = nn.LayerNorm(4)
        self.norm_head = nn.Linear(4, 4)  # a matrix in a module called norm
        self.attention = nn.MultiheadAttention(4, 2)  # in_proj_bias
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))


def test_types_are_known_by_module():
    model = Mixed()
    options = dict(norm_decay_mult=0.1, bias_decay_mult=0.2, adapt_norm_and_bias=False)
    groups = constructor(options).param_groups(model)
    decay, adapt = named_settings(model, groups, 'weight_decay'), named_settings(model, groups, 'adapt')
    kinds = {0.5: 'weight', 0.05: 'norm', 0.1: 'bias'}
    assert {n: kinds[d] for n, d in decay.items()} == {
        'cls_token': 'weight',
        'conv.weight': 'weight',
        'conv.bias': 'bias',
        'first.weight': 'norm',
        'first.bias': 'norm',
        'second.weight': 'norm',
        'second.bias': 'norm',
        'third.weight': 'norm',
        'third.bias': 'norm',
        'norm_head.weight': 'weight',
        'norm_head.bias': 'bias',
        'attention.in_proj_weight': 'weight',
        'attention.in_proj_bias': 'bias',
        'attention.out_proj.weight': 'weight',
        'attention.out_proj.bias': 'bias',
    }
    assert all(adapt[n] is (kinds[decay[n]] == 'weight') for n in adapt)
    assert len(groups) == 3


def test_lewel_on_resnet50_with_byols_settings_has_two_groups():
    backbone = dict(type='mmpretrain.ResNet', depth=50)
    neck = tiny.neck_config(in_channels=2048)
    model = LEWELB(backbone, neck, **tiny.arguments('LEWELB', hid_channels=tiny.HIDDEN))
    wrapper = constructor(BYOL_SETTINGS)(model)
    assert isinstance(wrapper, OptimWrapper)
    assert isinstance(wrapper.optimizer, LARS)
    weights, rest = wrapper.optimizer.param_groups
    assert (weights['lr'], weights['weight_decay'], weights['adapt']) == (2.0, 0.5, True)
    assert (rest['lr'], rest['weight_decay'], rest['adapt']) == (2.0, 0.0, False)
    assert all(p.dim() > 1 for p in weights['params'])
    assert all(p.dim() == 1 for p in rest['params'])
    inside = {p for group in (weights, rest) for p in group['params']}
    assert inside == {p for p in model.parameters() if p.requires_grad}
    assert inside.isdisjoint(model.teacher.parameters())


def test_one_group_without_options():
    model = Mixed()
    (group,) = constructor().param_groups(model)
    assert group['weight_decay'] == 0.5
    assert 'adapt' not in group
    assert len(group['params']) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out():
    model = Mixed()
    model.conv.requires_grad_(False)
    model.first.weight.requires_grad_(False)
    names = named_settings(model, constructor(BYOL_SETTINGS).param_groups(model), 'lr')
    assert names.keys() == {n for n, p in model.named_parameters() if p.requires_grad}


def test_shared_parameters_come_once():
    model = Mixed()
    model.tied = model.conv
    groups = constructor(BYOL_SETTINGS).param_groups(model)
    everything = [p for group in groups for p in group['params']]
    assert len(everything) == len(set(everything)) == len(list(model.parameters()))


def test_custom_keys_scale_the_rate_and_replace_the_decay():
    keys = dict(conv=dict(lr_mult=0.1), second=dict(lr_mult=0.5, decay_mult=3.0), attention=dict(decay_mult=0.0))
    keys['attention.out_proj'] = dict(lr_mult=4.0)  # longer than 'attention': the only one that counts
    model = Mixed()
    groups = constructor(dict(norm_decay_mult=0.0, custom_keys=keys)).param_groups(model)
    rates, decay = named_settings(model, groups, 'lr'), named_settings(model, groups, 'weight_decay')
    assert (rates['conv.weight'], rates['conv.bias'], rates['norm_head.weight']) == pytest.approx((0.2, 0.2, 2.0))
    assert (rates['second.weight'], decay['second.weight'], decay['third.weight']) == pytest.approx((1.0, 1.5, 0.0))
    assert (decay['attention.in_proj_weight'], rates['attention.in_proj_weight']) == pytest.approx((0.0, 2.0))
    assert (decay['attention.out_proj.weight'], rates['attention.out_proj.weight']) == pytest.approx((0.5, 8.0))


def test_built_by_mmengine_from_a_config():
    model = tiny.lewel_b()
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='lewel_plugins.TypedOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
            accumulative_counts=2,
        ),
    )
    assert [g['weight_decay'] for g in wrapper.optimizer.param_groups] == [1e-4, 0.0]
    assert wrapper._accumulative_counts == 2


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(norm_decay=0.0), ['norm_decay', 'norm_decay_mult', 'custom_keys']),
        (dict(bypass_duplicate=True), ['bypass_duplicate']),
        (dict(custom_keys=dict(conv=dict(lr=0.1))), ["'lr'", 'lr_mult']),
    ],
    ids=str,
)
def test_unknown_options_are_named(options, words):
    with pytest.raises(ValueError) as error:
        constructor(options)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_custom_key_that_fits_nothing_is_named():
    with pytest.raises(ValueError, match='convolution.*Mixed'):
        constructor(dict(custom_keys=dict(convolution=dict(lr_mult=0.1)))).param_groups(Mixed())

"""``build_head`` passes the widths of the neck to a head whose constructor names them, and to no other."""

import pytest
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch import nn

from lewel_plugins.models import LEWELNeck, LEWELPredictHead, MultiProjectorNeck, ProjectionNeck, StandardizedLinear
from lewel_plugins.models.heads import build_head

pytestmark = pytest.mark.core


@MODELS.register_module(force=True)
class PlainHead(nn.Module):
    """A user's head, whose constructor names no widths."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight


def test_widths_come_from_the_neck():
    neck = LEWELNeck(in_channels=8, hid_channels=12, out_channels=16, aligned_channels=6)
    head = build_head(dict(type='lewel_plugins.LEWELPredictHead', hid_channels=5), neck)
    assert [tuple(p.shape) for p in head.q.parameters() if p.dim() == 2] == [(5, 16), (16, 5)]
    assert [tuple(p.shape) for p in head.s.parameters() if p.dim() == 2] == [(5, 6), (6, 5)]


def test_norm_standardization_and_activation_come_from_the_neck():
    neck = ProjectionNeck(8, 12, 16, norm='LN', standardize=True, activation='gelu')
    msbreg = build_head(dict(type='lewel_plugins.MSBRegHead', hid_channels=5), neck)
    assert isinstance(msbreg.predictor[0], StandardizedLinear) and isinstance(msbreg.predictor[1], nn.LayerNorm)
    smog = build_head(dict(type='lewel_plugins.SMoGHead', hid_channels=5, num_groups=4), neck)
    assert isinstance(smog.predictor[2], nn.GELU) and smog.groups.rows.shape == (4, 16)


def test_the_number_of_projectors_comes_from_the_neck():
    neck = MultiProjectorNeck(8, 12, 16, num_projectors=3)
    head = build_head(dict(type='lewel_plugins.MPCLPredictHead', predictor=dict(hid_channels=5)), neck)
    assert head.predictor.fc0.weight.shape == (3, 5, 16) and head.balance.weights.shape == (3,)


def test_a_value_in_the_config_takes_precedence():
    neck = ProjectionNeck(8, 12, 16, norm='LN')
    head = build_head(dict(type='lewel_plugins.MSBRegHead', hid_channels=5, norm='BN', in_channels=16), neck)
    assert isinstance(head.predictor[1], nn.BatchNorm1d)


def test_a_width_that_is_not_the_necks_is_refused_with_both():
    neck = ProjectionNeck(8, 12, 16)
    with pytest.raises(ValueError, match='head.in_channels = 7, .* ProjectionNeck have 16 channels: leave it out'):
        build_head(dict(type='lewel_plugins.MSBRegHead', in_channels=7), neck)


def test_a_head_without_widths_is_built_without_them():
    head = build_head(dict(type='mmengine.PlainHead', weight=2.0), LEWELNeck(8, 12, 16))
    assert isinstance(head, PlainHead) and head.weight == 2.0


def test_a_neck_without_widths_gives_none():
    with pytest.raises(TypeError, match='in_channels'):
        build_head(dict(type='lewel_plugins.MSBRegHead'), nn.Identity())


def test_a_head_may_be_given_as_a_class():
    head = build_head(dict(type=LEWELPredictHead, hid_channels=5), LEWELNeck(8, 12, 16))
    assert head.q[0].weight.shape == (5, 16)


def test_an_unknown_type_is_named():
    with pytest.raises(KeyError, match='NoSuchHead'):
        build_head(dict(type='lewel_plugins.NoSuchHead'), ProjectionNeck(8, 12, 16))


def test_a_bare_name_of_the_default_scope_gets_the_widths_too():
    @MMPRETRAIN_MODELS.register_module(force=True)
    class WideHead(nn.Module):
        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.in_channels = in_channels

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert build_head(dict(type='WideHead'), ProjectionNeck(8, 12, 16)).in_channels == 16

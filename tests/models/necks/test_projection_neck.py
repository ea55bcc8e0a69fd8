"""ProjectionNeck, and the norms of the MLP in it."""

import pytest
import torch
from helpers import references as naive
from helpers import tiny

from lewel_plugins.models import MLP, ProjectionNeck, StandardizedLinear

pytestmark = pytest.mark.core

TOLERANCE = 1e-10


def neck(**changes) -> ProjectionNeck:
    config = tiny.projection_config(**changes)
    del config['type']
    return tiny.randomize(ProjectionNeck(**config).double())


@pytest.mark.parametrize('norm', ['BN', 'LN'])
@pytest.mark.parametrize('standardize', [False, True])
def test_equals_the_naive_head_on_the_pooled_feature(norm, standardize):
    model = neck(norm=norm, standardize=standardize)
    feature = torch.randn(3, tiny.WIDTH, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.stack([naive.pooled(f) for f in feature])
    expected = naive.mlp(rows, list(model.parameters()), None, norm, standardize)
    assert naive.largest_difference([model((feature,))], [expected]) < TOLERANCE
    assert naive.largest_difference([model((rows,))], [expected]) < TOLERANCE


def test_layer_norm_does_not_mix_images():
    model = neck(norm='LN')
    feature = torch.randn(4, tiny.WIDTH, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(model((feature[:2],)), model((feature,))[:2])


def test_standardized_weights_ignore_scale_and_shift_of_the_weights():
    torch.manual_seed(0)
    layer, x = StandardizedLinear(64, 5, bias=False).double(), torch.randn(1000, 64).double()
    before = layer(x)
    layer.weight.data.mul_(3).add_(0.2)
    torch.testing.assert_close(layer(x), before)
    assert before.var().item() == pytest.approx(1, rel=0.1)  # inputs of unit variance keep it
    layer.weight.data.fill_(2.0)
    out = layer(x)
    out.sum().backward()
    assert out.isfinite().all() and layer.weight.grad.isfinite().all()


def test_default_mlp_is_what_it_was():
    torch.manual_seed(0)
    mlp = MLP(3, 4, 5)
    assert [type(m).__name__ for m in mlp] == ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']


def test_errors_name_what_is_accepted():
    with pytest.raises(ValueError, match="('BN', 'LN').*'GN'"):
        neck(norm='GN')
    with pytest.raises(ValueError, match='out_channels must be at least 1, got 0'):
        neck(out_channels=0)
    with pytest.raises(ValueError, match=r'\(N, 8, H, W\), got \(2, 7, 3, 3\)'):
        neck()((torch.zeros(2, 7, 3, 3),))

import pytest
import torch
from mmcv.cnn import build_norm_layer
from torch import nn

from lewel_plugins.models import SplitBatchNorm

pytestmark = pytest.mark.core


def test_equals_a_batch_norm_per_part():
    """Each part by a batch norm of its own, whose running statistics are then averaged, as over ranks."""
    torch.manual_seed(0)
    split = SplitBatchNorm(5, num_splits=4).double()
    parts = [nn.BatchNorm2d(5).double() for _ in range(4)]
    nn.init.normal_(split.weight)
    nn.init.normal_(split.bias)
    for part in parts:
        part.load_state_dict(split.state_dict())
    for scale in (1.0, 3.0):
        x = (scale * torch.randn(12, 5, 3, 2, dtype=torch.float64) + 1).requires_grad_()
        weight = torch.randn_like(x)
        expected = torch.empty_like(x)
        for i, part in enumerate(parts):
            expected[i::4] = part(x[i::4])
        actual = split(x)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)
        ours, theirs = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (actual, expected))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for name in ('running_mean', 'running_var'):
        average = torch.stack([getattr(part, name) for part in parts]).mean(0)
        torch.testing.assert_close(getattr(split, name), average, rtol=0, atol=1e-12)
    assert split.num_batches_tracked == 2
    evaluated = nn.BatchNorm2d(5).double().eval()
    evaluated.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(x), evaluated(x), rtol=0, atol=0)


def test_config_and_errors():
    _, layer = build_norm_layer(dict(type='lewel_plugins.SplitBN', num_splits=2), 3)
    assert isinstance(layer, SplitBatchNorm) and layer.num_splits == 2
    with pytest.raises(ValueError, match='batches of a multiple of num_splits = 2 images, got 3'):
        layer(torch.randn(3, 3, 2, 2))
    with pytest.raises(ValueError, match='num_splits must be at least 1, got 0'):
        SplitBatchNorm(3, num_splits=0)

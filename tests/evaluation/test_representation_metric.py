import pytest
import torch

from lewel_plugins.evaluation import RepresentationMetric
from lewel_plugins.functional import covariance_spectrum, rank_me, uniformity

pytestmark = pytest.mark.core


def _measure(feat: torch.Tensor, max_samples: int = 2048) -> dict:
    n = len(feat)
    metric = RepresentationMetric(max_samples)
    metric.process(None, [dict(split='query', feat=feat, label=torch.full((n,), -1), sample_idx=torch.arange(n))])
    return metric.evaluate(n)


def test_isotropic_features():
    feat = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    got = _measure(feat, max_samples=4000)
    unit = torch.nn.functional.normalize(feat, dim=1)
    assert got['representation/std_raw'] == pytest.approx(unit.std(0, unbiased=False).mean().item(), rel=1e-5)
    assert got['representation/std'] == pytest.approx(1, abs=0.02)
    assert got['representation/rank_me'] == pytest.approx(rank_me(feat).item(), rel=1e-4)
    assert got['representation/uniformity'] == pytest.approx(uniformity(feat).item(), rel=1e-4)
    spectrum = covariance_spectrum(feat)
    for share, position in ((0, 0), (25, 4), (50, 8), (75, 12)):
        assert got[f'representation/spectrum_{share}'] == pytest.approx(spectrum[position].item(), rel=1e-4)
        assert got[f'representation/spectrum_{share}'] == pytest.approx(1, abs=0.15)


def test_collapsed_features():
    direction = torch.ones(1, 16)
    feat = direction + 1e-6 * torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    got = _measure(feat)
    assert 0 < got['representation/std'] < 1e-4
    assert got['representation/rank_me'] < 1.01
    assert got['representation/uniformity'] == pytest.approx(0, abs=1e-5)


def test_sample_is_bounded_and_fixed():
    feat = torch.randn(300, 64, generator=torch.Generator().manual_seed(0))
    first, second = _measure(feat, 20), _measure(feat, 20)
    assert first == second
    assert first['representation/rank_me'] <= 20.01 < _measure(feat)['representation/rank_me']


def test_too_few_images():
    with pytest.raises(ValueError, match='at least 2 images, got 1'):
        _measure(torch.randn(1, 4))
    with pytest.raises(ValueError, match='max_samples must be at least 2, got 1'):
        RepresentationMetric(1)

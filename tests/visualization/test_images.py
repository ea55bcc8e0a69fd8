from types import SimpleNamespace

import pytest
import torch

from lewel_plugins.visualization.images import evenly_spaced, to_rgb

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ('total', 'count', 'expected'), [(10, 3, [0, 3, 6]), (3, 3, [0, 1, 2]), (2, 5, [0, 1]), (9, 1, [0]), (0, 4, [])]
)
def test_indices_are_spread_evenly(total, count, expected):
    assert evenly_spaced(total, count) == expected


@pytest.mark.parametrize('name', ['_channel_conversion', 'to_rgb'])
def test_bgr_becomes_rgb(name):
    images = torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2)
    model = SimpleNamespace(data_preprocessor=SimpleNamespace(**{name: True}))
    assert torch.equal(to_rgb(images, model), images.flip(1) / 255)
    model = SimpleNamespace(data_preprocessor=SimpleNamespace(**{name: False}))
    assert torch.equal(to_rgb(images, model), images / 255)
    stretched = to_rgb(images.float() * 3 - 7, model)
    assert stretched.min() == 0 and stretched.max() == 1

import random

import numpy as np
import pytest
import torch
from torchvision.transforms import ColorJitter, RandomResizedCrop

from lewel_plugins.transforms import ViewScheme

pytestmark = pytest.mark.core


@pytest.fixture(autouse=True)
def seed():
    random.seed(0)
    torch.manual_seed(0)


@pytest.mark.parametrize('shape', [(375, 500), (30, 90), (90, 30)])
def test_boxes_are_distributed_as_torchvisions(shape):
    scheme, count = ViewScheme(size=8, crop_scale=(0.08, 1.0)), 3000
    ours = np.array([scheme.draw(*shape).box for _ in range(count)], float)
    left, top, w, h = ours.T
    assert (left >= 0).all() and (top >= 0).all() and (left + w <= shape[1]).all() and (top + h <= shape[0]).all()
    image = torch.empty(3, *shape)
    boxes = [RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(count)]
    theirs = np.array([(left, top, w, h) for top, left, h, w in boxes], float)
    error = np.sqrt((ours.var(0) + theirs.var(0)) / count)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 4 * error).all()
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.06)


def test_jitter_is_drawn_as_torchvisions():
    scheme = ViewScheme(size=8, jitter=1.0, brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)
    jitters = [scheme.draw(20, 20).jitter for _ in range(3000)]
    orders = {tuple(name for name, _ in steps) for steps in jitters}
    assert len(orders) == 24
    jitter = ColorJitter(0.4, 0.3, 0.2, 0.1)
    for name in ('brightness', 'contrast', 'saturation', 'hue'):
        low, high = getattr(jitter, name)
        values = np.array([dict(steps)[name] for steps in jitters])
        assert low <= values.min() < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * len(values))


def test_a_strength_above_one_starts_at_zero_and_none_leaves_the_step_out():
    scheme = ViewScheme(size=8, jitter=1.0, brightness=2.0, contrast=0.0, saturation=0.0, hue=0.0)
    jitters = [scheme.draw(20, 20).jitter for _ in range(300)]
    assert {name for steps in jitters for name, _ in steps} == {'brightness'}
    assert 0 <= min(factor for ((_, factor),) in jitters) < 0.2


def test_probabilities_are_met():
    names = ('flip', 'jitter', 'gray', 'blur', 'solarize')
    scheme = ViewScheme(size=8, **dict.fromkeys(names, 0.3))
    views = [scheme.draw(20, 20) for _ in range(4000)]
    for values in ([v.flip for v in views], [v.gray for v in views], [v.solarize for v in views]):
        assert 0.27 < np.mean(values) < 0.33
    assert 0.27 < np.mean([bool(v.jitter) for v in views]) < 0.33
    sigmas = np.array([v.sigma for v in views if v.sigma])
    assert 0.27 < len(sigmas) / len(views) < 0.33
    assert sigmas.min() >= 0.1 and sigmas.max() <= 2 and abs(sigmas.mean() - 1.05) < 0.07


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (dict(size=0), 'at least 1 pixel, got 0'),
        (dict(flip=1.5), r'flip is a probability.*1\.5'),
        (dict(crop_scale=(0.5, 1.2)), r'crop_scale.*1\.2'),
        (dict(crop_ratio=(2, 1)), r'crop_ratio must be \(low, high\)'),
        (dict(blur_sigma=(0, 1)), r'blur_sigma must be \(low, high\)'),
        (dict(interpolation='nearest'), "'bilinear' or 'bicubic', got 'nearest'"),
        (dict(brightness=-0.1), r'brightness.*-0\.1'),
        (dict(hue=0.7), r'hue.*0\.7'),
    ],
)
def test_bad_values_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        ViewScheme(**{'size': 8, **values})

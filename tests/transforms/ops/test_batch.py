"""Batched augmentations equal those of torchvision, image by image, with the same parameters."""

import pytest
import torch
import torchvision.transforms.functional as TF
from torchvision.transforms import RandomResizedCrop

from lewel_plugins.transforms.ops import batch as T

pytestmark = pytest.mark.core
N, SIZE = 12, 32


@pytest.fixture
def x():
    return torch.rand(N, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def _each(function, x, parameter):
    return torch.stack([function(image, value) for image, value in zip(x, parameter.tolist())])


@pytest.mark.parametrize(
    ('ours', 'theirs', 'low', 'high'),
    [
        (T.adjust_brightness, TF.adjust_brightness, 0, 2),
        (T.adjust_contrast, TF.adjust_contrast, 0, 2),
        (T.adjust_saturation, TF.adjust_saturation, 0, 2),
        (T.adjust_hue, TF.adjust_hue, -0.5, 0.5),
    ],
)
def test_jitter_is_torchvisions(x, ours, theirs, low, high):
    parameter = torch.linspace(low, high, N)
    torch.testing.assert_close(ours(x, parameter), _each(theirs, x, parameter), atol=5e-6, rtol=0)


def test_hue_of_grays_and_primaries():
    gray = torch.full((1, 3, 2, 2), 0.3)
    torch.testing.assert_close(T.adjust_hue(gray, torch.tensor([0.4])), gray)
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(T.adjust_hue(red, torch.tensor([1 / 3])), red.roll(1, 1))


def test_gray_is_torchvisions(x):
    torch.testing.assert_close(T.rgb_to_grayscale(x), TF.rgb_to_grayscale(x))


@pytest.mark.parametrize('taps', [3, 7])
def test_blur_is_torchvisions(x, taps):
    sigma = torch.linspace(0.1, 2, N)
    expected = _each(lambda image, s: TF.gaussian_blur(image, [taps, taps], [s, s]), x, sigma)
    torch.testing.assert_close(T.gaussian_blur(x, sigma, taps), expected, atol=5e-6, rtol=0)


def test_blur_of_sigma_zero_changes_nothing(x):
    assert torch.equal(T.gaussian_blur(x, torch.zeros(N), 5), x)


def test_solarize_is_torchvisions(x):
    apply = torch.arange(N) % 2 == 0
    expected = torch.where(apply.view(-1, 1, 1, 1), TF.solarize(x, 0.5), x)
    assert torch.equal(T.solarize(x, apply, 0.5), expected)


@pytest.mark.parametrize('size', [32, 20, 48])
def test_crop_is_cut_then_resized(x, size):
    torch.manual_seed(1)
    boxes = T.random_crop_boxes(N, SIZE, SIZE, (0.1, 1.0), (3 / 4, 4 / 3), x.device)
    flip = torch.rand(N) < 0.5
    expected = []
    for image, (left, top, w, h), mirrored in zip(x, boxes.long().tolist(), flip.tolist()):
        view = TF.resized_crop(image, top, left, h, w, [size, size], antialias=False)
        expected.append(view.flip(-1) if mirrored else view)
    torch.testing.assert_close(T.resized_crop(x, boxes, flip, size), torch.stack(expected), atol=5e-6, rtol=0)


@pytest.mark.parametrize('shape', [(40, 30), (30, 90)])
def test_crop_boxes_are_distributed_as_torchvisions(shape):
    torch.manual_seed(0)
    height, width = shape
    scale, ratio, count = (0.2, 1.0), (3 / 4, 4 / 3), 4000
    ours = T.random_crop_boxes(count, height, width, scale, ratio, torch.device('cpu'))
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 0] + ours[:, 2] <= width).all()
    assert (ours[:, 1] + ours[:, 3] <= height).all()
    image = torch.empty(3, height, width)
    top, left, h, w = torch.tensor([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)]).T.float()
    theirs = torch.stack([left, top, w, h], 1)
    # Means within four standard errors, and spreads within 5 %.
    error = theirs.std(0) / count**0.5
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 4 * 1.42 * error).all()
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.05, atol=0.05)

"""Operations on 8-bit images are within 1/255 of torchvision's on given parameters."""

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image

from lewel_plugins.transforms import uint8

pytestmark = pytest.mark.core
SIZE = 64
_RNG = np.random.default_rng(0)
NOISE = _RNG.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
SMOOTH = cv2.resize(_RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
EDGES = np.kron(_RNG.integers(0, 2, (8, 8, 3)) * 255, np.ones((8, 8, 1))).astype(np.uint8)
IMAGES = (NOISE, SMOOTH, EDGES)
TORCHVISIONS = dict(
    brightness=TF.adjust_brightness,
    contrast=TF.adjust_contrast,
    saturation=TF.adjust_saturation,
    hue=TF.adjust_hue,
)


def to_tensor(image):
    return torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).double() / 255


def difference(image, expected):
    """Largest difference of a BGR image from an RGB tensor in [0, 1], in 1/255."""
    return (to_tensor(image) - expected).abs().max().item() * 255


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
@pytest.mark.parametrize('factor', [0, 0.3, 0.6, 0.99, 1, 1.01, 1.4, 2])
def test_factors_are_torchvisions(name, factor):
    for image in IMAGES:
        expected = TORCHVISIONS[name](to_tensor(image), factor)
        assert difference(uint8.jitter(image, [(name, factor)]), expected) < 1


@pytest.mark.parametrize('shift', [-0.5, -0.41, -1 / 3, -0.2, -1 / 6, -0.1, -0.01, 0, 0.05, 0.1, 1 / 6, 0.3, 0.5])
def test_hue_is_torchvisions(shift):
    for image in (*IMAGES, np.full((4, 6, 3), 77, np.uint8)):
        expected = TF.adjust_hue(to_tensor(image), shift)
        assert difference(uint8.jitter(image, [('hue', shift)]), expected) < 0.51


def test_jitter_in_all_orders_is_torchvisions():
    """Four operations, each rounded to 8 bits at most once; torchvision's in float64."""
    rng = np.random.default_rng(1)
    names = list(TORCHVISIONS)
    for _ in range(60):
        rng.shuffle(names)
        steps = [(name, rng.uniform(-0.1, 0.1) if name == 'hue' else rng.uniform(0.6, 1.4)) for name in names]
        for image in (SMOOTH, EDGES):
            expected = to_tensor(image)
            for name, factor in steps:
                expected = TORCHVISIONS[name](expected, factor)
            assert difference(uint8.jitter(image, steps), expected) < 4


def test_greys_stay_grey():
    grey = np.dstack([NOISE[..., 0]] * 3)
    rng = np.random.default_rng(2)
    for _ in range(100):
        steps = [(name, rng.uniform(-0.1, 0.1) if name == 'hue' else rng.uniform(0, 2)) for name in TORCHVISIONS]
        rng.shuffle(steps)
        out = uint8.jitter(grey, [(name, float(value)) for name, value in steps])
        assert np.array_equal(out[..., 0], out[..., 1]) and np.array_equal(out[..., 0], out[..., 2])


def test_unknown_step_is_named():
    with pytest.raises(ValueError, match="'gamma'"):
        uint8.jitter(NOISE, [('gamma', 1.0)])


def test_jitter_leaves_its_input_alone():
    image = NOISE.copy()
    uint8.jitter(image, [('hue', 0.1), ('saturation', 1.3), ('contrast', 0.7)])
    assert np.array_equal(image, NOISE)


@pytest.mark.parametrize('sigma', [0.1, 0.3, 0.34, 0.5, 0.9, 1.3, 1.7, 2.0])
def test_blur_is_torchvisions(sigma):
    for image in IMAGES:
        expected = TF.gaussian_blur(to_tensor(image), [23, 23], [sigma, sigma])
        assert difference(uint8.gaussian_blur(image, sigma), expected) < 1


def test_gray_and_solarize_are_torchvisions():
    for image in IMAGES:
        gray = uint8.to_gray(image)
        expected = TF.rgb_to_grayscale(to_tensor(image), 3)
        assert difference(np.dstack([gray] * 3), expected) < 0.6
        tensor = torch.from_numpy(image).permute(2, 0, 1)
        assert np.array_equal(uint8.solarize(image), TF.solarize(tensor, 128).permute(1, 2, 0).numpy())


@pytest.mark.parametrize(('image', 'mode'), [(NOISE, 'bilinear'), (SMOOTH, 'bicubic'), (EDGES, 'bilinear')])
@pytest.mark.parametrize('box', [(0, 0, 80, 60), (10, 20, 15, 14), (7, 3, 33, 50), (2, 5, 60, 10)])
def test_crop_is_pillows(image, mode, box):
    """Bicubic on black and white is left out: both clip overshoots between rows and columns, 6/255 from float."""
    image = cv2.resize(image, (80, 60))
    left, top, w, h = box
    expected = TF.resized_crop(Image.fromarray(image), top, left, h, w, [24, 24], TF.InterpolationMode(mode))
    ours = uint8.resized_crop(image, box, 24, mode)
    assert ours.flags.c_contiguous
    assert np.abs(ours.astype(int) - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize('flip', [False, True])
def test_planes_of_colour_and_grey(flip):
    expected = NOISE.transpose(2, 0, 1)[:, :, :: -1 if flip else 1]
    assert np.array_equal(uint8.to_planes(NOISE, flip), expected)
    assert np.array_equal(uint8.to_planes(NOISE[..., 0].copy(), flip), np.stack([expected[0]] * 3))

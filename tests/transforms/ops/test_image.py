"""Operations on 8-bit images are within 1/255 of those of torchvision, with the same parameters."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF
from PIL import Image

from lewel_plugins.transforms.ops import image as ops

pytestmark = pytest.mark.core
ops.prepare()
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


def to_planes(image):
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def difference(planes, expected):
    """Return the largest difference between BGR planes and an RGB tensor in [0, 1], in units of 1/255."""
    return (torch.from_numpy(planes[::-1].copy()).double() - 255 * expected).abs().max().item()


def jitter(image, steps):
    planes = to_planes(image)
    ops.adjust_colors(planes, steps)
    return planes


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
@pytest.mark.parametrize('factor', [0, 0.3, 0.6, 0.99, 1, 1.01, 1.4, 2])
def test_factors_are_torchvisions(name, factor):
    for image in IMAGES:
        expected = TORCHVISIONS[name](to_tensor(image), factor)
        assert difference(jitter(image, [(name, factor)]), expected) < 1


@pytest.mark.parametrize('shift', [-0.5, -0.41, -1 / 3, -0.2, -1 / 6, -0.1, -0.01, 0, 0.05, 0.1, 1 / 6, 0.3, 0.5])
def test_hue_is_torchvisions(shift):
    for image in (*IMAGES, np.full((4, 6, 3), 77, np.uint8)):
        expected = TF.adjust_hue(to_tensor(image), shift)
        assert difference(jitter(image, [('hue', shift)]), expected) < 0.51


def test_jitter_in_all_orders_is_torchvisions():
    """Our jitter rounds to 8 bits before the contrast and at the end, while that of torchvision runs in float64."""
    rng = np.random.default_rng(1)
    names = list(TORCHVISIONS)
    for _ in range(60):
        rng.shuffle(names)
        steps = [(name, rng.uniform(-0.1, 0.1) if name == 'hue' else rng.uniform(0.6, 1.4)) for name in names]
        for image in (SMOOTH, EDGES):
            expected = to_tensor(image)
            for name, factor in steps:
                expected = TORCHVISIONS[name](expected, factor)
            assert difference(jitter(image, steps), expected) < 3


def test_grays_stay_gray():
    gray = np.dstack([NOISE[..., 0]] * 3)
    rng = np.random.default_rng(2)
    for _ in range(100):
        steps = [(name, rng.uniform(-0.1, 0.1) if name == 'hue' else rng.uniform(0, 2)) for name in TORCHVISIONS]
        rng.shuffle(steps)
        out = jitter(gray, [(name, float(value)) for name, value in steps])
        assert np.array_equal(out[0], out[1]) and np.array_equal(out[0], out[2])


def test_unknown_step_is_named():
    with pytest.raises(ValueError, match="'gamma'"):
        jitter(NOISE, [('gamma', 1.0)])


@pytest.mark.parametrize('factor', [0, 3.7, 20])
@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
def test_extreme_factors(name, factor):
    for image in IMAGES:
        expected = TORCHVISIONS[name](to_tensor(image), factor)
        assert difference(jitter(image, [(name, factor)]), expected) < 0.51


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (31, 33), (37, 83), (5, 1025)])
def test_jitter_of_odd_sizes(shape):
    """Sizes are close to the lengths of vectors and of the chunks that the kernels process at once."""
    image = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    steps = [('saturation', 1.3), ('hue', -0.08), ('brightness', 0.7)]
    expected = to_tensor(image)
    for name, value in steps:
        expected = TORCHVISIONS[name](expected, value)
    assert difference(jitter(image, steps), expected) < 0.51


@pytest.mark.parametrize('sigma', [0.1, 0.3, 0.34, 0.5, 0.9, 1.3, 1.7, 2.0])
def test_blur_is_torchvisions(sigma):
    for image in IMAGES:
        expected = TF.gaussian_blur(to_tensor(image), [23, 23], [sigma, sigma])
        planes = to_planes(image)
        ops.gaussian_blur(planes, sigma)
        assert difference(planes, expected) < 1


@pytest.mark.parametrize('shape', [(17, 17), (17, 150), (33, 23), (16, 40), (7, 9), (224, 64)])
@pytest.mark.parametrize('sigma', [0.4, 1.9, 4.5])
def test_blur_of_odd_sizes(shape, sigma):
    """Sides are as long as a vector or shorter, and Gaussians as wide as the image."""
    image = cv2.resize(NOISE, shape[::-1])
    sigma = min(sigma, (min(shape) - 1) / 3)  # borders of torchvision reflect once
    side = 2 * ops.blur_radius(sigma) + 1
    expected = TF.gaussian_blur(to_tensor(image), [side, side], [sigma, sigma])
    planes = to_planes(image)
    ops.gaussian_blur(planes, sigma)
    assert difference(planes, expected) < 1


def test_gray_and_solarize_are_torchvisions():
    for image in IMAGES:
        planes = to_planes(image)
        ops.adjust_colors(planes, [], gray=True)
        expected = TF.rgb_to_grayscale(to_tensor(image), 3)
        assert difference(np.stack([planes[0]] * 3), expected) < 0.51
        planes = to_planes(image)
        expected = TF.solarize(torch.from_numpy(planes), 128).numpy()
        ops.solarize(planes)
        assert np.array_equal(planes, expected)


def test_gray_after_jitter_is_rounded_once():
    steps = [('brightness', 0.8), ('saturation', 1.2)]
    expected = TF.adjust_saturation(TF.adjust_brightness(to_tensor(NOISE), 0.8), 1.2)
    planes = to_planes(NOISE)
    ops.adjust_colors(planes, steps, gray=True)
    assert difference(np.stack([planes[0]] * 3), TF.rgb_to_grayscale(expected, 3)) < 0.51


@pytest.mark.parametrize(('image', 'mode'), [(NOISE, 'bilinear'), (SMOOTH, 'bicubic'), (EDGES, 'bilinear')])
@pytest.mark.parametrize('box', [(0, 0, 80, 60), (10, 20, 15, 14), (7, 3, 33, 50), (2, 5, 60, 10)])
def test_crop_is_pillows(image, mode, box):
    """Leave out bicubic on black and white: both clip overshoots between rows and columns, up to 6/255 off float."""
    image = cv2.resize(image, (80, 60))
    left, top, w, h = box
    expected = TF.resized_crop(Image.fromarray(image), top, left, h, w, [24, 24], TF.InterpolationMode(mode))
    ours = ops.resized_crop(image, box, 24, mode)
    assert ours.flags.c_contiguous
    assert np.abs(ours.transpose(1, 2, 0).astype(int) - np.asarray(expected)).max() <= 1


def torchs_crop(image, box, size, mode):
    left, top, w, h = box
    crop = torch.from_numpy(image[top : top + h, left : left + w].copy()).permute(2, 0, 1)[None]
    crop = crop.contiguous(memory_format=torch.channels_last)
    return F.interpolate(crop, size=(size, size), mode=mode, align_corners=False, antialias=True)[0].numpy()


@pytest.mark.parametrize('mode', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', [1, 7, 16, 24, 33, 64, 113])
def test_crop_is_torchs_bit_for_bit(mode, size):
    """Resize up and down, single pixels, odd sides, sides of one vector, one side stretched and the other shrunk.

    The results are identical where torch uses its AVX2 kernel.
    """
    same = torch.backends.cpu.get_cpu_capability() in ('AVX2', 'AVX512')
    rng = np.random.default_rng(4)
    image = cv2.resize(rng.integers(0, 256, (34, 151, 3), dtype=np.uint8), (301, 67))
    boxes = [(0, 0, 301, 67), (300, 66, 1, 1), (5, 3, 1, 64), (17, 0, 200, 1), (2, 9, 33, 31), (40, 1, 64, 24)]
    for box in (*boxes, (285, 51, 16, 16), (0, 0, 17, 16), (60, 0, 16, 67)):
        expected = torchs_crop(image, box, size, mode)
        for flip in (False, True):
            ours = ops.resized_crop(image, box, size, mode, flip)
            assert distance(ours[..., ::-1] if flip else ours, expected) <= (0 if same else 1)


@pytest.mark.parametrize('mode', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('value', [0, 1, 127, 254, 255])
def test_crop_of_one_color_keeps_it(mode, value):
    image = np.full((90, 140, 3), value, np.uint8)
    for box in ((0, 0, 140, 90), (3, 5, 16, 80), (1, 1, 137, 17)):
        for size in (16, 20, 64, 96):
            assert (ops.resized_crop(image, box, size, mode) == value).all()


@pytest.mark.parametrize('box', [(-1, 0, 20, 20), (50, 0, 20, 20), (0, 50, 20, 20), (0, 0, 0, 20), (70, 70, 2, 2)])
def test_crop_outside_of_the_image_is_named(box):
    with pytest.raises(ValueError, match=r'box .* is not in an image of \(64, 64\)'):
        ops.resized_crop(NOISE, box, 24, 'bilinear')


@pytest.mark.parametrize('image', [NOISE[..., :1], NOISE[..., 0], NOISE.astype(np.float32)])
def test_images_must_have_three_channels_of_8_bits(image):
    with pytest.raises(ValueError, match=r'\(H, W, 3\) of uint8, got'):
        ops.resized_crop(image, (0, 0, 32, 32), 24, 'bilinear')


def test_crop_of_a_view_of_an_image():
    image = NOISE[::2, ::-1]
    assert not image.flags.c_contiguous
    box = (3, 1, 20, 25)
    assert np.array_equal(
        ops.resized_crop(image, box, 16, 'bicubic'), ops.resized_crop(image.copy(), box, 16, 'bicubic')
    )


@pytest.mark.skipif(ops.kernels is None, reason='numba is not installed')
def test_kernels_take_one_type_each():
    """A call that would compile during an epoch raises an error."""
    with pytest.raises(TypeError, match='No matching definition'):
        ops.kernels.adjust_colors(np.zeros((3, 4), np.float32), np.zeros((1, 2), np.float32), False)


@pytest.mark.skipif(ops.kernels is None, reason='numba is not installed')
def test_kernels_compile_where_no_folder_is_writable():
    """numba looks for a cache folder when functions are marked for compilation."""
    code = (
        'from numba.core import caching; caching.CacheImpl._locator_classes = []; '
        'from lewel_plugins.transforms.ops import image_numba; print(int(image_numba._clamp(300)))'
    )
    run = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True)
    assert run.stdout.split()[-1] == '255'


@pytest.mark.parametrize('flip', [False, True])
def test_without_numba_libraries_do_the_same(monkeypatch, flip):
    compiled = ops.resized_crop(SMOOTH, (3, 5, 40, 50), 24, 'bicubic', flip)
    colors, gray, blurred = compiled.copy(), compiled.copy(), compiled.copy()
    steps = [('contrast', 1.3), ('hue', 0.07), ('brightness', 0.8), ('saturation', 0.7)]
    ops.adjust_colors(colors, steps)
    ops.adjust_colors(gray, [], gray=True)
    ops.gaussian_blur(blurred, 1.2)
    monkeypatch.setattr(ops, 'kernels', None)
    monkeypatch.setitem(sys.modules, 'lewel_plugins.transforms.ops.image_numba', None)
    with pytest.warns(UserWarning, match='pip install numba'):
        ops.prepare()
    crop = ops.resized_crop(SMOOTH, (3, 5, 40, 50), 24, 'bicubic', flip)
    assert distance(crop, compiled) <= 1 and crop.flags.c_contiguous
    for operate, expected, allowed in (
        (lambda planes: ops.adjust_colors(planes, steps), colors, len(steps)),  # torchvision truncates after each
        (lambda planes: ops.adjust_colors(planes, [], gray=True), gray, 1),
        (lambda planes: ops.gaussian_blur(planes, 1.2), blurred, 1),
    ):
        planes = compiled.copy()
        operate(planes)
        assert distance(planes[:1], expected[:1]) <= allowed


def distance(planes, others):
    return np.abs(planes.astype(int) - others).max()

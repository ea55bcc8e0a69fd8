"""Augmentations of one 8-bit image, fast on one core, each within 1/255 of torchvision's function of the same name.

The Gaussian of the blur ends at 3σ. The error that this makes is below 1/255 up to σ = 2, the widest blur of BYOL and
SimCLR.

Images are (H, W, 3) uint8 in OpenMMLab's channel order, BGR. Crops are planes (3, H, W), and every later operation
changes them in place. Measurements decided which libraries and formulas to use: ``input_choices.md`` in docs/results,
written by tools/measurements/input_choices.py.
"""

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from . import image_fallback as fallback

# The module `image_numba` once :func:`prepare` has imported it. Importing numba takes a second, and most programs make
# no views.
kernels: Any = None
# Gaussians end at this many standard deviations, where they have fallen to a ninetieth of their height.
_SIGMAS = 3
# The compiled blur sums in 16 bits, in which a wider Gaussian would accumulate too many rounding errors.
_MAX_BLUR_RADIUS = 21
_STEPS = ('brightness', 'contrast', 'saturation', 'hue')  # a step's position is its number in the kernels


def prepare() -> None:
    """Compile the kernels, or load them from the disk, before workers are forked. Warn if numba is missing.

    Without this call, or without numba, torch, torchvision and OpenCV make the views.
    """
    global kernels
    try:
        kernels = import_module('.image_numba', __package__)
    except ImportError as error:
        warnings.warn(
            f'numba cannot be imported ({error}): torchvision makes the views, several times slower; pip install numba',
            stacklevel=3,
        )
    else:
        kernels.compile_kernels()


def resized_crop(
    image: np.ndarray, box: Sequence[int], size: int, interpolation: str, flip: bool = False
) -> np.ndarray:
    """Cut out a box and resize it to a square, anti-aliased like Pillow and bit for bit like torch.

    Args:
        image: (H, W, 3).
        box: Left, top, width and height in pixels.
        size: Side of the result.
        interpolation: ``bilinear`` or ``bicubic``.
        flip: Whether to mirror the result left to right.

    Returns:
        Planes, (3, size, size).

    Raises:
        ValueError: The image is not (H, W, 3) uint8, or the box is empty or reaches outside the image.
    """
    _check_box(image, box)
    w, h = box[2:]
    if kernels is None or min(w, h, size) < kernels.LANES:
        return fallback.resized_crop(image, box, size, interpolation, flip)
    cubic = interpolation == 'bicubic'
    columns, rows = _resize_weights(w, size, cubic), _resize_weights(h, size, cubic)
    planes = np.empty((3, size, size), np.uint8)
    kernels.resized_crop(np.ascontiguousarray(image), *box, columns, rows, flip, planes)
    return planes


def _check_box(image: np.ndarray, box: Sequence[int]) -> None:
    left, top, w, h = box
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'images must be (H, W, 3) of uint8, got {image.shape} of {image.dtype}')
    if min(left, top, w - 1, h - 1) < 0 or left + w > image.shape[1] or top + h > image.shape[0]:
        raise ValueError(f'the box (left, top, width, height) = {tuple(box)} is not in an image of {image.shape[:2]}')


@lru_cache(maxsize=1024)
def _resize_weights(n_in: int, n_out: int, cubic: bool) -> tuple:
    return kernels.resize_weights(n_in, n_out, cubic)


def adjust_colors(planes: np.ndarray, steps: Sequence[tuple[str, float]], gray: bool = False) -> None:
    """Adjust ``brightness``, ``contrast``, ``saturation`` by factors and ``hue`` by a shift, in order, then to gray.

    Args:
        planes: (3, H, W), contiguous, changed in place.
        steps: Names and factors. The value of ``hue`` is a share of the color circle.
        gray: Whether to write the luma to the first plane. The other planes then hold no valid pixels.

    Raises:
        ValueError: If a step has another name.
    """
    for name, _ in steps:
        if name not in _STEPS:
            raise ValueError(f'a step must be brightness, contrast, saturation or hue, got {name!r}')
    if kernels is None:
        fallback.adjust_colors(planes, steps, gray)
        return
    numbered = np.array([(_STEPS.index(name), value) for name, value in steps], np.float32).reshape(-1, 2)
    kernels.adjust_colors(planes.reshape(3, -1), numbered, gray)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Return the weights of a Gaussian at whole pixels, (2r + 1,) with r = ⌈3 σ⌉, normalized to sum 1."""
    half = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(blur_radius(sigma) + 1)]  # numpy is slower for so few
    total = 2 * math.fsum(half) - 1
    half = [weight / total for weight in half]
    return np.array(half[:0:-1] + half, np.float32)


def blur_radius(sigma: float) -> int:
    """Return how many pixels a Gaussian reaches on each side."""
    return math.ceil(_SIGMAS * sigma)


def gaussian_blur(planes: np.ndarray, sigma: float) -> None:
    """Blur planes (n, H, W) in place with a Gaussian of this standard deviation in pixels. Borders are reflected."""
    kernel, radius = gaussian_kernel(sigma), blur_radius(sigma)
    if kernels is None or min(planes.shape[1:]) <= max(kernels.LANES, radius) or radius > _MAX_BLUR_RADIUS:
        fallback.gaussian_blur(planes, kernel)
    else:
        kernels.blur(planes, kernel)


def solarize(planes: np.ndarray) -> None:
    """Invert all values of 128 and above, in place."""
    np.minimum(planes, ~planes, out=planes)

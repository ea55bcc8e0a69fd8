"""Augmentations of one image of 8 bits, fast on one core; each within 1/255 of torchvision's function of its name.

The blur's Gaussian ends at 3σ, which is within that up to σ = 2, BYOL's and SimCLR's widest.

Images are (H, W, 3) uint8 in OpenMMLab's order, BGR; crops are planes (3, H, W), and what follows is done in place.
Libraries and formulas were chosen by measuring them: tools/measurements/input_choices.py and its docs/results.
"""

import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from . import plain

# The module, once :func:`prepare` has imported it: numba takes a second, and most programs make no views.
kernels: Any = None
# Gaussians end here, where they are a ninetieth of their height.
_SIGMAS = 3
# The blur's sums have 16 bits: for wider Gaussians the roundings are too many.
_MOST_BLURRED = 21
_STEPS = ('brightness', 'contrast', 'saturation', 'hue')  # their places are their numbers in the kernels


def prepare() -> None:
    """Compile what is compiled, or load it from the disk, before workers are forked; warns if numba is missing.

    Until then, libraries make the views.
    """
    global kernels
    try:
        kernels = import_module('.kernels', __package__)
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
    """Cut out a box and resize it to a square, anti-aliased as Pillow does it and bit for bit as torch does it.

    Args:
        image: (H, W, 3).
        box: Left, top, width and height in pixels.
        size: Side of the result.
        interpolation: ``bilinear`` or ``bicubic``.
        flip: Whether to mirror the result left to right.

    Returns:
        Planes, (3, size, size).

    Raises:
        ValueError: The image is not (H, W, 3) uint8, or the box is empty or not in it.
    """
    left, top, w, h = box
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'views are made of images (H, W, 3) of uint8, got {image.shape} of {image.dtype}')
    if min(left, top, w - 1, h - 1) < 0 or left + w > image.shape[1] or top + h > image.shape[0]:
        raise ValueError(f'the box (left, top, width, height) = {tuple(box)} is not in an image of {image.shape[:2]}')
    if kernels is None or min(w, h, size) < kernels.LANES:
        return plain.resized_crop(image, box, size, interpolation, flip)
    cubic = interpolation == 'bicubic'
    planes = np.empty((3, size, size), np.uint8)
    kernels.resized_crop(
        np.ascontiguousarray(image),
        *box,
        _resize_weights(w, size, cubic),
        _resize_weights(h, size, cubic),
        flip,
        planes,
    )
    return planes


@lru_cache(maxsize=1024)
def _resize_weights(n_in: int, n_out: int, cubic: bool) -> tuple:
    return kernels.resize_weights(n_in, n_out, cubic)


def adjust_colours(planes: np.ndarray, steps: Sequence[tuple[str, float]], gray: bool = False) -> None:
    """Adjust ``brightness``, ``contrast``, ``saturation`` by factors and ``hue`` by a shift, in order; then grey.

    Args:
        planes: (3, H, W), contiguous, changed in place.
        steps: Names and factors; the hue's is a share of the colour circle.
        gray: Whether to leave the luma, in the first plane only: the others then hold nothing.

    Raises:
        ValueError: If a step has another name.
    """
    for name, _ in steps:
        if name not in _STEPS:
            raise ValueError(f'jitter knows brightness, contrast, saturation and hue, got {name!r}')
    if kernels is None:
        plain.adjust_colours(planes, steps, gray)
        return
    numbered = np.array([(_STEPS.index(name), value) for name, value in steps], np.float32).reshape(-1, 2)
    kernels.adjust_colours(planes.reshape(3, -1), numbered, gray)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Weights of a Gaussian at whole pixels, (2r + 1,) with r = ⌈3 σ⌉, of sum 1."""
    half = [math.exp(-0.5 * (k / sigma) ** 2) for k in range(blur_radius(sigma) + 1)]  # numpy takes longer for so few
    total = 2 * math.fsum(half) - 1
    half = [weight / total for weight in half]
    return np.array(half[:0:-1] + half, np.float32)


def blur_radius(sigma: float) -> int:
    """Pixels on each side that a Gaussian reaches."""
    return math.ceil(_SIGMAS * sigma)


def gaussian_blur(planes: np.ndarray, sigma: float) -> None:
    """Blur planes (n, H, W) in place with a Gaussian of this standard deviation in pixels, borders reflected."""
    kernel, radius = gaussian_kernel(sigma), blur_radius(sigma)
    if kernels is None or min(planes.shape[1:]) <= max(kernels.LANES, radius) or radius > _MOST_BLURRED:
        plain.gaussian_blur(planes, kernel)
    else:
        kernels.blur(planes, kernel)


def solarize(planes: np.ndarray) -> None:
    """Invert all values from 128, in place."""
    np.minimum(planes, ~planes, out=planes)

"""Augmentations of one image of 8 bits, fast on one core; each within 1/255 of torchvision's function of its name.

Images are (H, W, 3) uint8 in OpenMMLab's order, BGR; crops are planes (3, H, W), and what follows is done in place.
Libraries and formulas were chosen by measuring them (docs/results/README.md).
"""

import math
import warnings
from collections.abc import Sequence

import cv2
import numpy as np

from . import plain

try:
    from . import kernels
except ImportError:
    kernels = None  # type: ignore[assignment]

# Gaussians end here, where they are a ninetieth of their height.
_SIGMAS = 3
_STEPS = ('brightness', 'contrast', 'saturation', 'hue')  # their places are their numbers in the kernels


def prepare() -> None:
    """Compile what is compiled, or load it from the disk, before workers are forked; warns if numba is missing."""
    if kernels is not None:
        kernels.compile_kernels()
    else:
        warnings.warn(
            'numba is not installed: torchvision makes the views, several times slower; pip install numba',
            stacklevel=3,
        )


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
    """
    if kernels is None:
        return plain.resized_crop(image, box, size, interpolation, flip)
    left, top, w, h = box
    cubic = interpolation == 'bicubic'
    lines = np.ascontiguousarray(image).reshape(image.shape[0], -1)[top : top + h, 3 * left : 3 * (left + w)]
    # Columns are resized as rows of the transposed crop: neighbours in memory then have the same weights, which is what
    # vector instructions need. On the way the channels become planes.
    columns = np.empty((1, size, 3 * h), np.uint8)
    kernels.resize_rows(cv2.transpose(lines).reshape(1, w, 3 * h), columns, cubic, flip)
    planes = np.empty((3, size, size), np.uint8)
    kernels.resize_rows(cv2.transpose(columns[0]).reshape(3, h, size), planes, cubic, False)
    return planes


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
    radius = blur_radius(sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def blur_radius(sigma: float) -> int:
    """Pixels on each side that a Gaussian reaches."""
    return math.ceil(_SIGMAS * sigma)


def gaussian_blur(planes: np.ndarray, sigma: float) -> None:
    """Blur planes (n, H, W) in place with a Gaussian of this standard deviation in pixels, borders reflected."""
    # With a kernel in float32, OpenCV's separable filter rounds once; its GaussianBlur has a kernel of 8 bits, is up to
    # 2.5/255 off and slower.
    kernel = gaussian_kernel(sigma)
    for plane in planes:
        cv2.sepFilter2D(plane, -1, kernel, kernel, plane, borderType=cv2.BORDER_REFLECT_101)


def solarize(planes: np.ndarray) -> None:
    """Invert all values from 128, in place."""
    np.minimum(planes, ~planes, out=planes)

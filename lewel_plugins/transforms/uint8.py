"""Augmentations of one image of 8 bits, fast on one core; each within 1/255 of torchvision's function of its name.

Images are (H, W, 3) uint8 in OpenMMLab's order, BGR. Libraries and formulas were chosen by measuring them
(docs/results/input_speed.md).
"""

import math
import threading
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F

# ITU-R 601-2 luma, as in PIL and torchvision; here for BGR.
_LUMA = (0.114, 0.587, 0.2989)
_LUMA_SUM = sum(_LUMA)  # 0.9999
# Gaussians end here, where they are a ninetieth of their height.
_SIGMAS = 3


def resized_crop(image: np.ndarray, box: Sequence[int], size: int, interpolation: str) -> np.ndarray:
    """Cut out a box and resize it to a square, anti-aliased as Pillow and torchvision do it.

    Args:
        image: (H, W, 3).
        box: Left, top, width and height in pixels.
        size: Side of the result.
        interpolation: ``bilinear`` or ``bicubic``.
    """
    left, top, w, h = box
    crop = np.ascontiguousarray(image[top : top + h, left : left + w])
    # torch's kernel for 8 bits is as fast as OpenCV's without anti-aliasing, if torch sees that the batch is
    # channels_last: numpy's new axis would have the stride 0.
    batch = torch.from_numpy(crop).unsqueeze(0).permute(0, 3, 1, 2)
    out = F.interpolate(batch, size=(size, size), mode=interpolation, align_corners=False, antialias=True)
    return out[0].permute(1, 2, 0).numpy()


def jitter(image: np.ndarray, steps: Sequence[tuple[str, float]]) -> np.ndarray:
    """Adjust ``brightness``, ``contrast``, ``saturation`` by factors and ``hue`` by a shift, in the order given.

    All but the hue are affine in the colour, of the form a·x + b·luma(x) + c. They are collected and applied at once as
    long as no value can leave [0, 255] in between: a factor up to 1 mixes two values that are inside.

    Raises:
        ValueError: If a step has another name.
    """
    a, b, c = 1.0, 0.0, 0.0
    for name, factor in steps:
        if name == 'brightness':
            a, b, c = factor * a, factor * b, factor * c
        elif name == 'contrast':
            luma = sum(weight * mean for weight, mean in zip(_LUMA, cv2.mean(image)))
            mean = (a + _LUMA_SUM * b) * luma + _LUMA_SUM * c
            a, b, c = factor * a, factor * b, factor * c + (1 - factor) * mean
        elif name == 'saturation':
            rest = 1 - factor
            a, b, c = factor * a, factor * b + rest * (a + _LUMA_SUM * b), (factor + rest * _LUMA_SUM) * c
        elif name != 'hue':
            raise ValueError(f'jitter knows brightness, contrast, saturation and hue, got {name!r}')
        if name == 'hue' or factor > 1:
            image = _affine(image, a, b, c)
            a, b, c = 1.0, 0.0, 0.0
        if name == 'hue':
            image = adjust_hue(image, factor)
    return _affine(image, a, b, c)


def _affine(image: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    """a·x + b·luma(x) + c, rounded and clamped."""
    if (a, b, c) == (1, 0, 0):
        return image
    # OpenCV calculates with coefficients of 1/1024. Rounded here, all rows have the same sum, and greys stay grey.
    diagonal = round(1024 * a)
    blue, red = round(1024 * b * _LUMA[0]), round(1024 * b * _LUMA[2])
    green = round(1024 * (a + b * _LUMA_SUM)) - diagonal - blue - red
    matrix = np.empty((3, 4))
    matrix[:, :3] = blue, green, red
    matrix[0, 0] += diagonal
    matrix[1, 1] += diagonal
    matrix[2, 2] += diagonal
    matrix /= 1024
    matrix[:, 3] = c
    return cv2.transform(image, matrix)


class _HueScratch(threading.local):
    """Memory of :func:`adjust_hue`, kept between calls: it is what the processor's cache holds."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()

    def resize(self, height: int, width: int) -> None:
        if self.shape == (height, width):
            return
        self.shape = (height, width)
        self.planes = np.empty((5, height, width), np.uint8)
        self.lower, self.upper = np.empty((2, 3, height, width), np.uint8)
        self.low, self.high, self.move = np.empty((3, height, width), np.uint8)


_hue_scratch = _HueScratch()


def adjust_hue(image: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue by a share ``shift`` of the colour circle, in HSV.

    A third of the circle renames the channels. What is left, d sixths with |d| ≤ 1, moves a channel X with the next
    channel Y and the one after it, Z, by e = max(0, d·(max − min) − distance from X to [Y, Z]): down to the pixel's
    minimum at most where Y > Z, otherwise up to its maximum at most. (The distance is what X, as the largest or the
    smallest, has still to go before it changes.) With d < 0, Y and Z change places.
    """
    height, width = image.shape[:2]
    thirds = round(3 * shift)
    d = 6 * shift - 2 * thirds
    _hue_scratch.resize(height, width)
    planes, upper, lower = _hue_scratch.planes, _hue_scratch.upper, _hue_scratch.lower
    high, low, move = _hue_scratch.high, _hue_scratch.low, _hue_scratch.move
    # As B, G, R the circle runs backwards: the planes are kept as R, G, B, R, G.
    cv2.split(image, [planes[(2 - channel + thirds) % 3] for channel in range(3)])
    planes[3:] = planes[:2]
    x, y, z = planes[:3], planes[1:4], planes[2:]
    if d < 0:
        y, z = z, y
    x, y, z, up, lo = (part.reshape(-1, width) for part in (x, y, z, upper, lower))
    cv2.max(y, z, up)
    cv2.min(y, z, lo)
    cv2.max(upper[0], planes[0], high)
    cv2.min(lower[0], planes[0], low)
    cv2.convertScaleAbs(cv2.subtract(high, low, move), move, abs(d))
    # uint8 arithmetic of OpenCV stays in [0, 255]; numpy's, which wraps around, serves where nothing can leave it.
    cv2.subtract(x, up, up)
    cv2.subtract(lo, x, lo)
    np.bitwise_or(upper, lower, out=upper)  # the distance: one of the two is 0
    np.minimum(upper, move, out=upper)
    np.subtract(move, upper, out=upper)
    np.bitwise_and(up, cv2.compare(y, z, cv2.CMP_GT, lo), out=lo)  # what goes down
    np.subtract(up, lo, out=up)  # what goes up
    cv2.add(x, up, up)
    np.minimum(upper, high, out=upper)
    cv2.subtract(up, lo, up)
    np.maximum(upper, low, out=upper)
    return cv2.merge([upper[2], upper[1], upper[0]])


def to_gray(image: np.ndarray) -> np.ndarray:
    """Luma of an image, (H, W)."""
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Weights of a Gaussian at whole pixels, (2r + 1,) with r = ⌈3 σ⌉, of sum 1."""
    radius = blur_radius(sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (weights / weights.sum()).astype(np.float32)


def blur_radius(sigma: float) -> int:
    """Pixels on each side that a Gaussian reaches."""
    return math.ceil(_SIGMAS * sigma)


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur (H, W) or (H, W, 3) with a Gaussian of this standard deviation in pixels, borders reflected."""
    # With a kernel in float32, OpenCV's separable filter rounds once; its GaussianBlur has a kernel of 8 bits, is up to
    # 2.5/255 off and slower.
    kernel = gaussian_kernel(sigma)
    return cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)


def solarize(image: np.ndarray) -> np.ndarray:
    """Invert all values from 128."""
    return cv2.min(image, cv2.bitwise_not(image))


def to_planes(image: np.ndarray, flip: bool) -> np.ndarray:
    """Colour (H, W, 3) or grey (H, W) to planes (3, H, W), mirrored left to right if ``flip``."""
    height, width = image.shape[:2]
    planes = np.empty((3, height, width), np.uint8)
    if image.ndim == 2:
        planes[:] = cv2.flip(image, 1) if flip else image
        return planes
    cv2.split(image, list(planes))
    if flip:
        flat = planes.reshape(-1, width)
        cv2.flip(flat, 1, flat)
    return planes

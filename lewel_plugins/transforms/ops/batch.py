"""Augmentations of a whole batch on tensors, with separate parameters for every image.

Images are float (N, 3, H, W) in [0, 1], RGB. Parameters are (N,). Each operation equals torchvision's functional
transform of the same name. None synchronizes with the device.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..view_scheme import ViewParameters
from .image import gaussian_kernel

# ITU-R 601-2 luma as in PIL and torchvision.
_LUMA = (0.2989, 0.587, 0.114)


def random_crop_boxes(
    count: int, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], device: torch.device
) -> Tensor:
    """Draw boxes of Inception-style crops (Szegedy et al. 2015) like torchvision's ``RandomResizedCrop``.

    Draws ten boxes per image and returns the first that fits or, if none fits, the largest centered box whose aspect
    ratio is within ``ratio``.

    Args:
        count: Number of images.
        height: Their height in pixels.
        width: Their width in pixels.
        scale: Share of the area that a box covers, (low, high).
        ratio: Aspect ratio of a box, (low, high).
        device: Device of the draws and of the result.

    Returns:
        (count, 4): left, top, width and height in pixels, whole numbers as floats.
    """
    draw = torch.rand(4, count, 10, device=device)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draw[0])
    log_ratio = math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draw[1]
    w = (area * log_ratio.exp()).sqrt().round()
    h = (area / log_ratio.exp()).sqrt().round()
    fits = (w > 0) & (h > 0) & (w <= width) & (h <= height)
    left, top = (draw[2] * (width - w + 1)).floor(), (draw[3] * (height - h + 1)).floor()
    boxes = torch.stack([left, top, w, h], -1)  # (count, 10, 4)
    first = boxes[torch.arange(count, device=device), fits.float().argmax(1)]
    # A tensor made from these four numbers would be a copy that synchronizes with the device.
    none_fits, largest = ~fits.any(1), _largest_box(height, width, ratio)
    return torch.stack([column.masked_fill(none_fits, value) for column, value in zip(first.unbind(1), largest)], 1)


def _largest_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    return (width - w) // 2, (height - h) // 2, w, h


def resized_crop(x: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Crop, resize bilinearly to ``size`` × ``size`` and flip in one resampling.

    There is no anti-aliasing. Use it where crops are not much larger than ``size``, as on small images.

    Args:
        x: Images, (N, 3, H, W).
        boxes: Result of :func:`random_crop_boxes`, (N, 4).
        flip: Which images to mirror left to right, boolean (N,).
        size: Side of the result in pixels.

    Returns:
        (N, 3, size, size).
    """
    left, top, w, h = boxes.unbind(1)
    rows = _interpolation(top, h, x.shape[2], size)
    columns = _interpolation(left, w, x.shape[3], size)
    columns = torch.where(flip.view(-1, 1, 1), columns.flip(1), columns)
    with torch.autocast(x.device.type, enabled=False):  # in half precision the weights would shift pixels
        return rows[:, None] @ x @ columns.mT[:, None]


def _interpolation(start: Tensor, length: Tensor, total: int, size: int) -> Tensor:
    """Return weights (N, size, total) that interpolate linearly from ``total`` pixels to samples of a section."""
    share = (torch.arange(size, device=start.device) + 0.5) / size
    # Samples beyond the outermost pixel centers are clamped to them, as if the section had been cut out first.
    inside = torch.minimum((share * length[:, None] - 0.5).clamp_min(0), length[:, None] - 1)
    position = start[:, None] + inside
    return (1 - (position[:, :, None] - torch.arange(total, device=start.device)).abs()).clamp_min(0)


def _column(parameter: Tensor) -> Tensor:
    return parameter.view(-1, 1, 1, 1)


def rgb_to_grayscale(x: Tensor) -> Tensor:
    """Return the luma of RGB images, (N, 3, H, W) → (N, 1, H, W)."""
    r, g, b = x.unbind(1)
    return (_LUMA[0] * r + _LUMA[1] * g + _LUMA[2] * b)[:, None]


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with black; factor 1 changes nothing."""
    return (x * _column(factor)).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the image's mean luma; factor 1 changes nothing."""
    mean = rgb_to_grayscale(x).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, x, _column(factor)).clamp(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the gray image; factor 1 changes nothing."""
    return torch.lerp(rgb_to_grayscale(x), x, _column(factor)).clamp(0, 1)


def adjust_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by a share ``shift`` of the color circle, in HSV.

    At h sixths of the circle, red, green and blue lie at the shares |h − 3| − 1, 2 − |h − 2| and 2 − |h − 4|, clamped
    to [0, 1], of the way from the pixel's smallest channel to its largest.
    """
    r, g, b = x.unbind(1)
    value, low = x.amax(1), x.amin(1)
    chroma = value - low
    safe = chroma.clamp_min(1e-12)
    sixths = torch.where(
        value == r, (g - b) / safe, torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe)
    )  # (N, H, W)
    h = (sixths + 6 * shift.view(-1, 1, 1)) % 6
    shares = torch.stack([(h - 3).abs() - 1, 2 - (h - 2).abs(), 2 - (h - 4).abs()], 1).clamp_(0, 1)
    return shares.mul_(chroma[:, None]).add_(low[:, None])


def gaussian_blur(x: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur with a separable Gaussian. Borders are reflected, and sigma 0 changes nothing.

    Args:
        x: Images, (N, 3, H, W).
        sigma: Standard deviations in pixels, (N,).
        kernel_size: Number of taps, odd and at most 2·min(H, W) − 1.
    """
    radius = kernel_size // 2
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    # As sigma tends to 0, the kernel tends to a single one in the middle. The bound prevents 0 / 0.
    taps = (-0.5 * (offsets / sigma.clamp_min(1e-3)[:, None]).square()).softmax(1)  # (N, kernel_size)
    return _separable_blur(x, taps)


def _separable_blur(x: Tensor, taps: Tensor) -> Tensor:
    """Filter rows and columns with kernels (N, k) of odd length. Borders are reflected."""
    H, W = x.shape[2:]
    k = taps.shape[1]
    padded = F.pad(x, [k // 2] * 4, mode='reflect')
    rows = torch.zeros_like(padded[..., :W])
    for i in range(k):
        rows.addcmul_(_column(taps[:, i]), padded[..., i : i + W])
    out = torch.zeros_like(x)
    for i in range(k):
        out.addcmul_(_column(taps[:, i]), rows[:, :, i : i + H])
    return out


def solarize(x: Tensor, apply: Tensor, threshold: float) -> Tensor:
    """Invert pixels at or above ``threshold`` in the images marked in ``apply``, boolean (N,)."""
    return torch.where((x >= threshold) & _column(apply), 1 - x, x)


_AFFINE = ('brightness', 'contrast', 'saturation')
_HEAD = 11  # entries of a parameter row before the kernel


def parameter_row(view: ViewParameters, radius: int) -> list[float]:
    """Return one view's parameters as :func:`finish_views` expects them, 12 + ``radius`` numbers.

    The order is: flip, gray, solarization, shift of the hue, number of operations that precede the hue, three pairs of
    operation and factor, and the kernel of the blur from its middle outward.
    """
    names = [name for name, _ in view.jitter]
    affine = [number for name, factor in view.jitter if name != 'hue' for number in (_AFFINE.index(name), factor)]
    affine += [0.0, 1.0] * (3 - len(affine) // 2)
    before = names.index('hue') if 'hue' in names else 0
    kernel = gaussian_kernel(view.sigma).tolist() if view.sigma else [1.0]
    kernel = kernel[len(kernel) // 2 :]
    kernel += [0.0] * (radius + 1 - len(kernel))
    return [view.flip, view.gray, view.solarize, dict(view.jitter).get('hue', 0.0), before, *affine, *kernel]


def finish_views(x: Tensor, parameters: Tensor) -> Tensor:
    """Apply flip, jitter, gray, blur and solarization to crops (N, 3, H, W), with rows of :func:`parameter_row`.

    Every image has its own order of the jitter. The three operations besides the hue run both before and after the
    hue, with factor 1 on the side to which they do not belong.
    """
    flip, gray, solarized = parameters[:, :3].bool().unbind(1)
    hue, before = parameters[:, 3], parameters[:, 4]
    kinds, factors = parameters[:, 5:_HEAD:2], parameters[:, 6:_HEAD:2]  # (N, 3)
    early = torch.arange(3, device=x.device) < before[:, None]
    x = torch.where(_column(flip), x.flip(3), x)
    x = _affine_steps(x, kinds, torch.where(early, factors, 1.0))
    x = adjust_hue(x, hue)
    x = _affine_steps(x, kinds, torch.where(early, 1.0, factors))
    x = torch.where(_column(gray), rgb_to_grayscale(x), x)
    half = parameters[:, _HEAD:]
    if half.shape[1] > 1:
        x = _separable_blur(x, torch.cat([half[:, 1:].flip(1), half], 1))
    return solarize(x, solarized, 0.5)


def _affine_steps(x: Tensor, kinds: Tensor, factors: Tensor) -> Tensor:
    """Apply brightness, contrast or saturation in the order of ``kinds`` (N, 3), with ``factors`` (N, 3)."""
    for kind, factor in zip(kinds.unbind(1), factors.unbind(1)):
        luma = rgb_to_grayscale(x)
        # The image to blend with: black, the mean luma, or the gray image.
        other = (_column(kind) == 1) * luma.mean((1, 2, 3), keepdim=True) + (_column(kind) == 2) * luma
        x = torch.lerp(other, x, _column(factor)).clamp_(0, 1)
    return x

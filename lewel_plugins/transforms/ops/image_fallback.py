"""The operations of :mod:`image` by libraries, for use without numba and for sizes that do not fill a vector."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF


def resized_crop(image: np.ndarray, box: Sequence[int], size: int, interpolation: str, flip: bool) -> np.ndarray:
    """Implement :func:`image.resized_crop` with torch."""
    left, top, w, h = box
    crop = np.ascontiguousarray(image[top : top + h, left : left + w])
    # torch's 8-bit kernel is fast only if torch recognizes the batch as channels_last. It does not if numpy adds the
    # new axis, whose stride is then 0.
    batch = torch.from_numpy(crop).unsqueeze(0).permute(0, 3, 1, 2)
    out = F.interpolate(batch, size=(size, size), mode=interpolation, align_corners=False, antialias=True)[0]
    return (out.flip(2) if flip else out).contiguous().numpy()


def adjust_colors(planes: np.ndarray, steps: Sequence[tuple[str, float]], gray: bool) -> None:
    """Implement :func:`image.adjust_colors` with torchvision, which truncates to 8 bits after every step."""
    image = torch.from_numpy(planes).flip(0)  # B, G, R to R, G, B
    for name, value in steps:
        image = getattr(TF, f'adjust_{name}')(image, value)
    if gray:
        planes[0] = TF.rgb_to_grayscale(image)[0].numpy()
    elif steps:
        planes[:] = image.flip(0).numpy()


def gaussian_blur(planes: np.ndarray, kernel: np.ndarray) -> None:
    """Implement :func:`image.gaussian_blur` with OpenCV."""
    # With a float32 kernel, OpenCV's separable filter rounds once. Its GaussianBlur uses an 8-bit kernel, is slower and
    # up to 2.5/255 off.
    for plane in planes:
        cv2.sepFilter2D(plane, -1, kernel, kernel, plane, borderType=cv2.BORDER_REFLECT_101)

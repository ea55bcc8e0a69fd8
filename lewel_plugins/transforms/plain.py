"""The compiled operations of :mod:`uint8` by libraries: for want of numba, and for sizes that vectors do not fit."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF


def resized_crop(image: np.ndarray, box: Sequence[int], size: int, interpolation: str, flip: bool) -> np.ndarray:
    """As :func:`uint8.resized_crop`, by torch."""
    left, top, w, h = box
    crop = np.ascontiguousarray(image[top : top + h, left : left + w])
    # torch's kernel for 8 bits is fast if torch sees that the batch is channels_last: numpy's new axis would have the
    # stride 0.
    batch = torch.from_numpy(crop).unsqueeze(0).permute(0, 3, 1, 2)
    out = F.interpolate(batch, size=(size, size), mode=interpolation, align_corners=False, antialias=True)[0]
    return (out.flip(2) if flip else out).contiguous().numpy()


def adjust_colours(planes: np.ndarray, steps: Sequence[tuple[str, float]], gray: bool) -> None:
    """As :func:`uint8.adjust_colours`, but torchvision cuts off fractions after every step."""
    image = torch.from_numpy(planes).flip(0)  # B, G, R to R, G, B
    for name, value in steps:
        image = getattr(TF, f'adjust_{name}')(image, value)
    if gray:
        planes[0] = TF.rgb_to_grayscale(image)[0].numpy()
    elif steps:
        planes[:] = image.flip(0).numpy()


def gaussian_blur(planes: np.ndarray, kernel: np.ndarray) -> None:
    """As :func:`uint8.gaussian_blur`, by OpenCV."""
    # With a kernel in float32, OpenCV's separable filter rounds once; its GaussianBlur has a kernel of 8 bits, is up to
    # 2.5/255 off and slower.
    for plane in planes:
        cv2.sepFilter2D(plane, -1, kernel, kernel, plane, borderType=cv2.BORDER_REFLECT_101)

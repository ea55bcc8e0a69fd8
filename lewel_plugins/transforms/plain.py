"""The compiled operations of :mod:`uint8` by torch and torchvision, several times slower: for want of numba."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms.functional as TF


def resized_crop(image: np.ndarray, box: Sequence[int], size: int, interpolation: str, flip: bool) -> np.ndarray:
    """As :func:`uint8.resized_crop`, bit for bit."""
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

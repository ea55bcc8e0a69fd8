"""Images for display: which to show, and how to turn the output of a pipeline into RGB."""

from mmengine.model import BaseModel
from torch import Tensor


def evenly_spaced(total: int, count: int) -> list[int]:
    """Return at most ``count`` indices that are spread evenly over [0, total)."""
    count = min(count, total)
    return [i * total // count for i in range(count)]


def to_rgb(images: Tensor, model: BaseModel) -> Tensor:
    """Convert images (N, 3, H, W) from the pipeline of ``model`` to RGB in [0, 1]."""
    preprocessor = model.data_preprocessor
    # The preprocessor of mmpretrain's classifiers has `to_rgb` instead of `_channel_conversion`.
    swap = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'to_rgb', False))
    images = images.flip(1) if swap else images
    if not images.is_floating_point():
        return images.float() / 255
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-12)

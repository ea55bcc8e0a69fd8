"""Images of a pipeline, prepared for display."""

from mmengine.model import BaseModel
from torch import Tensor


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

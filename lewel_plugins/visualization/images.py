"""Images of a pipeline as they are looked at."""

from mmengine.model import BaseModel
from torch import Tensor


def to_rgb(images: Tensor, model: BaseModel) -> Tensor:
    """Images (N, 3, H, W) as they come out of the pipeline of ``model`` to RGB in [0, 1]."""
    swap = getattr(model.data_preprocessor, '_channel_conversion', False)
    images = images.flip(1) if swap else images
    if not images.is_floating_point():
        return images.float() / 255
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-12)

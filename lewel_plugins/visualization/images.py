"""Images of a pipeline as they are looked at."""

from mmengine.model import BaseModel
from torch import Tensor


def to_rgb(images: Tensor, model: BaseModel) -> Tensor:
    """Images (N, 3, H, W) as they come out of the pipeline of ``model`` to RGB in [0, 1]."""
    preprocessor = model.data_preprocessor
    swap = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'to_rgb', False))  # of a classifier
    images = images.flip(1) if swap else images
    if not images.is_floating_point():
        return images.float() / 255
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-12)

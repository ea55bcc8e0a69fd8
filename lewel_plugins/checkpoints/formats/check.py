"""Check that a backbone computes the same features in another library."""

from typing import Any

import torch
from torch import Tensor, nn

from lewel_plugins.errors import SetupError

from .base import Format, State

# Libraries order products and sums differently, which amounts to a few units of float32's last place over all layers.
TOLERANCE = 1e-5


def random_images(backbone: Any) -> Tensor:
    """Return two images of the size that a backbone needs, or of 64 px if it accepts any size."""
    size: Any = getattr(backbone, 'img_size', None)
    if size is None and hasattr(backbone, 'patch_resolution'):  # Swin
        patch = backbone.patch_embed.projection.kernel_size[0]
        size = tuple(patch * n for n in backbone.patch_resolution)
    if hasattr(backbone, 'timm_model'):  # some have positions or windows for one size
        size = backbone.timm_model.pretrained_cfg['input_size'][1:]
    height, width = size if isinstance(size, (tuple, list)) else (size or 64, size or 64)
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def compare_features(form: Format, backbone: nn.Module, theirs: State) -> float:
    """Load tensors into the library's own network and compare its features with those of OpenMMLab's backbone.

    Args:
        form: The format of the backbone in the library.
        backbone: OpenMMLab's backbone, in eval mode.
        theirs: The tensors under the library's names.

    Returns:
        The largest difference between two features.

    Raises:
        SetupError: Tensors are missing, or the features differ by more than rounding.
    """
    network = form.build(backbone)
    form.load_theirs(network, theirs)
    network.eval()  # some overrides of eval() do not return the network
    images = random_images(backbone)
    ours, others = form.reference(backbone, images), form.features(network, images)
    if ours.shape != others.shape:
        raise SetupError(
            f'{type(network).__name__} returns features of shape {tuple(others.shape)}, not {tuple(ours.shape)}'
        )
    difference = (ours - others).abs().max().item()
    if not difference <= TOLERANCE * ours.abs().max().item():
        raise SetupError(f'{type(network).__name__} returns other features, which differ by up to {difference:.3g}')
    return difference

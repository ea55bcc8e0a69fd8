import torch
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from .weight import check_weight


@MODELS.register_module()
class UniformityLoss(nn.Module):
    """Uniformity of each view's embeddings over the global batch. Wang and Isola 2020, Sec. 4.1; MSBReg, Table 12.

    Time and memory grow with the square of the number of images of all ranks.

    Args:
        weight: Weight of the loss; in Wang and Isola about that of alignment.
    """

    name = 'uniformity'

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_weight(weight)

    def forward(self, p: Tensor) -> Tensor:
        """Loss, (), the same on every rank, of embeddings p (K, N, d)."""
        views = dist.all_gather(p.transpose(0, 1)).transpose(0, 1)  # (K, WN, d)
        return self.weight * torch.stack([LF.uniformity(view) for view in views]).mean()

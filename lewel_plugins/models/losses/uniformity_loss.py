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
        weight: Weight of the loss; Wang and Isola give it about the weight of alignment.
    """

    name = 'uniformity'

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = check_weight(weight)

    def forward(self, p: Tensor) -> Tensor:
        """Return the loss, (), of embeddings p (K, N, d); it is the same on every rank."""
        views = dist.all_gather(p.transpose(0, 1)).transpose(0, 1)  # (K, WN, d)
        return self.weight * torch.stack([LF.uniformity(view) for view in views]).mean()

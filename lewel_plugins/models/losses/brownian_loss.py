import torch
from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS
from lewel_plugins.seeding import shared_generator

from .weight import check_weight


@torch.compiler.disable  # it cannot trace a generator as an argument
def directions(count: int, channels: int, device: torch.device) -> Tensor:
    """Draw one Gaussian vector per image of this rank, (count, channels) float32.

    Every rank draws the vectors of the global batch from the generator that all ranks share, and keeps its own rows,
    dealt out in turn like the images. So an image has the same vector on any number of ranks.
    """
    every = torch.randn(
        dist.world_size() * count, channels, generator=shared_generator(device), device=device, dtype=torch.float32
    )
    return every[dist.rank() :: dist.world_size()]


@MODELS.register_module()
class BrownianLoss(nn.Module):
    """λ_b L_b: push an image's embeddings along a direction that is random in every iteration. MSBReg, Eq. 4.

    Args:
        weight: λ_b.
    """

    name = 'brownian'

    def __init__(self, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = check_weight(weight)

    def forward(self, p: Tensor) -> Tensor:
        """Return the loss, (), of this rank's embeddings p (K, N, d); the images have the same order in every view."""
        return self.weight * LF.brownian_loss(p, directions(p.shape[1], p.shape[2], p.device))

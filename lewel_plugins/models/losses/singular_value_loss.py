from functools import partial

from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from .weight import check_weight


@MODELS.register_module()
class SingularValueLoss(nn.Module):
    """λ_s L_s: pull the covariance of embeddings over the *global* batch toward the identity. MSBReg, Eqs. 5 to 7.

    Args:
        weight: λ_s.
        normalize: Whether to normalize the embeddings first, see :func:`lewel_plugins.functional.singular_value_loss`.
    """

    name = 'singular'

    def __init__(self, weight: float = 4e-3, normalize: bool = False) -> None:
        super().__init__()
        self.weight, self.normalize = check_weight(weight), normalize

    def forward(self, p: Tensor) -> Tensor:
        """Return the loss, (), of embeddings p (K, N, d); it is the same on every rank."""
        sum_over_ranks = partial(dist.all_reduce_sum, same_loss=True) if dist.world_size() > 1 else None
        return self.weight * LF.singular_value_loss(p, self.normalize, sum_over_ranks)

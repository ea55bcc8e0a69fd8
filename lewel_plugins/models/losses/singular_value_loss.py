from functools import partial

from torch import Tensor, nn

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from .weight import check_weight


@MODELS.register_module()
class SingularValueLoss(nn.Module):
    """λ_s L_s: pull the covariance of embeddings over the batch toward the identity. MSBReg, Eqs. 5 to 7.

    The paper does not say whether n counts the images of one GPU or of all. It matters, because the covariance of a
    sample differs from that of its distribution: for ideal embeddings, n standard normal vectors, the expectation of
    λ_s L_s is λ_s d(d + 1)/(n − 1), which for d = 128 is 1.05 at n = 64 and 0.13 at n = 512. By default n counts the
    images of all ranks, and the loss is that of one process on the whole batch.

    Under gradient accumulation, n counts the images of one forward pass: each pass has a covariance of its own, and the
    mean of their losses is not the loss of the accumulated batch.

    The loss is of fourth order in the embeddings. Under plain SGD training can diverge; LARS, the paper's optimizer,
    bounds the steps.

    Args:
        weight: λ_s.
        normalize: Whether to normalize the embeddings first, see :func:`lewel_plugins.functional.singular_value_loss`.
        sync: Whether n is the number of images on all ranks. If not, each rank has the covariance of its own images.
    """

    name = 'singular'

    def __init__(self, weight: float = 4e-3, normalize: bool = False, sync: bool = True) -> None:
        super().__init__()
        self.weight, self.normalize, self.sync = check_weight(weight), normalize, sync

    def forward(self, p: Tensor) -> Tensor:
        """Return the loss, (), of embeddings p (K, N, d); with ``sync``, it is the same on every rank."""
        several = self.sync and dist.world_size() > 1
        sum_over_ranks = partial(dist.all_reduce_sum, same_loss=True) if several else None
        return self.weight * LF.singular_value_loss(p, self.normalize, sum_over_ranks)

from functools import partial

import torch
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from ..projector_balance import ProjectorBalance, standardize_views


@MODELS.register_module()
class MPCLBarlowTwinsHead(BaseModule):
    """One cross-correlation loss per projector, over the batch of all ranks: MPCL on Barlow Twins. MPCL, Eqs. 2 to 4.

    The paper does not define the accuracy that PTB needs. Here it is the top-1 retrieval of an image's other view in
    the batch, by the cosine of the standardized embeddings.

    Args:
        num_projectors: M, by default that of the neck.
        redundancy_weight: λ of Barlow Twins.
        balance: Arguments of :class:`ProjectorBalance`: ``pcr``, ``pcr_weight``, ``literal_eq4``.

    Raises:
        ValueError: ``redundancy_weight`` is negative.
    """

    def __init__(self, num_projectors: int, redundancy_weight: float = 0.0051, balance: dict | None = None) -> None:
        super().__init__()
        if not redundancy_weight >= 0:
            raise ValueError(f'redundancy_weight must not be negative, got {redundancy_weight}')
        self.redundancy_weight = redundancy_weight
        self.balance = ProjectorBalance(num_projectors, **(balance or {}))

    def loss(self, z: Tensor) -> dict[str, Tensor]:
        """Correlate the two views; PCR is averaged over them.

        Args:
            z: Embeddings of the two views, (2, M, N, d).

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        views = list(zip(*standardize_views(z)))
        (y1, y1_all), (y2, y2_all) = views
        sum_over_ranks = partial(dist.all_reduce_sum, same_loss=True)
        losses = LF.barlow_twins(y1, y2, self.redundancy_weight, y1_all, y2_all, sum_over_ranks)
        return self.balance(losses, self._accuracy(y1, y2_all), *z, standardized=views)

    @torch.no_grad()
    def _accuracy(self, y1: Tensor, keys: Tensor) -> Tensor:
        """Return the share (M,) of the images whose view 1 is closest to their view 2 among all keys (M, WN, d)."""
        return LF.ranked_first(*LF.batch_similarities(y1, keys, 1.0, first=dist.rank() * y1.shape[1]))

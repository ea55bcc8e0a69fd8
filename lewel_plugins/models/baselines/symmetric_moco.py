import torch
import torch.nn.functional as F
from mmpretrain.models.selfsup import MoCo
from torch import Tensor, nn

from lewel_plugins.registry import MODELS

from ..algorithms.base import check_views


@MODELS.register_module()
class SymmetricMoCo(MoCo):
    """mmpretrain's MoCo with a loss in both directions, in one process, as in lightly's benchmarks.

    The keys are shuffled within the batch, which matters to :class:`SplitBN`: a query and its key are then in different
    parts of the batch. Each direction enqueues its keys, so that the second has those of the first as negatives.
    """

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Contrast each view with the keys of the other.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss``, the mean over the directions.
        """
        x1, x2 = check_views(self, inputs, 2)
        self.encoder_k.update_parameters(nn.Sequential(self.backbone, self.neck))
        return dict(loss=(self._direction(x1, x2) + self._direction(x2, x1)) / 2)

    def _direction(self, x_q: Tensor, x_k: Tensor) -> Tensor:
        q = F.normalize(self.neck(self.backbone(x_q))[0], dim=1)  # (N, d)
        k = self._keys(x_k)
        negatives = self.queue.clone()
        loss = self.head.loss((q * k).sum(1, keepdim=True), q @ negatives)
        self._dequeue_and_enqueue(k)
        return loss

    @torch.no_grad()
    def _keys(self, x: Tensor) -> Tensor:
        """Return the unit keys (N, d) of a view, whose images the teacher gets in random order."""
        order = torch.randperm(len(x), device=x.device)
        k = F.normalize(self.encoder_k(x[order])[0], dim=1)
        return k[order.argsort()]

from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.functional import cosine_mse
from lewel_plugins.registry import MODELS

from ..necks.mlp import MLP, in_low_precision
from .checks import check_beta

Embeddings = tuple[Tensor, Tensor]


@MODELS.register_module()
class LEWELPredictHead(BaseModule):
    """Prediction of global and of aligned embeddings, for LEWEL_B. LEWEL, Eqs. 3 and 5.

    Args:
        in_channels: Channels d of the global embedding, by default those of the neck.
        aligned_channels: Channels c of an aligned embedding, by default those of the neck.
        hid_channels: Hidden channels of the predictors q (global) and s (aligned).
        beta: Weight β of the aligned loss, in [0, 1].
    """

    def __init__(self, in_channels: int, aligned_channels: int, hid_channels: int = 4096, beta: float = 0.5) -> None:
        super().__init__()
        self.beta = check_beta(beta)
        self.q = MLP(in_channels, hid_channels, in_channels)
        self.s = MLP(aligned_channels, hid_channels, aligned_channels)

    def loss(self, online: tuple[Embeddings, Embeddings], target: tuple[Embeddings, Embeddings]) -> dict[str, Tensor]:
        """Predict the teacher's embeddings of each view from the online ones of the other.

        Args:
            online: Online z (N, d) and z_aligned (N, d/h, c) of view 1, and of view 2.
            target: Embeddings of the teacher, without gradient, in the same order.

        Returns:
            ``loss_global`` (1 − β)L_g and ``loss_aligned`` βL_a; mmengine minimizes their sum.
        """
        (z1, a1), (z2, a2) = online
        (z1_t, a1_t), (z2_t, a2_t) = target
        loss_global = cosine_mse(self.q(z1), z2_t) + cosine_mse(self.q(z2), z1_t)
        loss_aligned = cosine_mse(self._predict_aligned(a1), a2_t) + cosine_mse(self._predict_aligned(a2), a1_t)
        return dict(loss_global=(1 - self.beta) * loss_global, loss_aligned=self.beta * loss_aligned)

    def _predict_aligned(self, a: Tensor) -> Tensor:
        """Return s(a), (N, d/h, c); under autocast without losing what tells the embeddings of one image apart."""
        if not in_low_precision(a):
            return self.s(a)
        mean = a.mean(1, keepdim=True)
        return self.s(a - mean, common=mean)

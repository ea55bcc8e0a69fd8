from collections.abc import Callable

from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from ..necks.parallel_mlps import build_mlps
from ..projector_balance import ProjectorBalance
from .checks import check_temperature


@MODELS.register_module()
class MPCLPredictHead(BaseModule):
    """One predictor and one InfoNCE over the batch of all ranks per projector: MPCL on MoCo v3. MPCL, Eqs. 1, 2 and 4.

    Losses are scaled by 2τ as in MoCo v3, Algorithm 1. The accuracy for PTB is top-1 in the batch.

    Args:
        in_channels: Channels d of an embedding, by default those of the neck.
        num_projectors: M, by default that of the neck.
        predictor: Arguments of the predictors: ``hid_channels``, and those of :class:`MLPSettings`. Predictors have an
            input each and share no layer.
        temperature: Temperature τ.
        balance: Arguments of :class:`ProjectorBalance`: ``pcr``, ``pcr_weight``, ``literal_eq4``.

    Raises:
        ValueError: ``predictor`` has ``shared_hidden=True``.
    """

    def __init__(
        self,
        in_channels: int,
        num_projectors: int,
        predictor: dict,
        temperature: float = 0.2,
        balance: dict | None = None,
    ) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        if predictor.get('shared_hidden'):
            raise ValueError(
                f'predictor.shared_hidden must be False: each of the {num_projectors} predictors has its own input'
            )
        self.predictor = build_mlps(num_projectors, in_channels, out_channels=in_channels, **predictor)
        self.balance = ProjectorBalance(num_projectors, **(balance or {}))

    def loss(
        self, z: tuple[Tensor, Tensor], keys: tuple[Callable[[], Tensor], Callable[[], Tensor]]
    ) -> dict[str, Tensor]:
        """Compare the predictions of each view with the keys of the other; PCR is averaged over the projected views.

        Args:
            z: Online embeddings of view 1 and of view 2, (M, N, d).
            keys: For each view, a function that waits for the teacher's embeddings from all ranks and returns them,
                (WN, M, d), without gradient.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        q1, q2 = self.predictor(z[0]), self.predictor(z[1])  # (M, N, d)
        loss_12, accuracy_12 = self._contrast(q1, keys[1]())
        loss_21, accuracy_21 = self._contrast(q2, keys[0]())
        return self.balance(loss_12 + loss_21, (accuracy_12 + accuracy_21) / 2, *z)

    def _contrast(self, q: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy (M,) of queries (M, N, d) against keys (WN, M, d)."""
        similarities = LF.batch_similarities(q, keys.transpose(0, 1), self.temperature, first=dist.rank() * q.shape[1])
        return 2 * self.temperature * LF.nce(*similarities), LF.ranked_first(*similarities)

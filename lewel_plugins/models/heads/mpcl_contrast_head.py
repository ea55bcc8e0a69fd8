from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from ..projector_balance import ProjectorBalance
from .checks import check_temperature


@MODELS.register_module()
class MPCLContrastHead(BaseModule):
    """One InfoNCE per projector, each with its own queue: MPCL on MoCo v2. MPCL, Eqs. 1, 2 and 4.

    The accuracy for PTB is the share of queries whose key is more similar than every key of the queue.

    Args:
        num_projectors: M, by default that of the neck.
        temperature: Temperature τ.
        balance: Arguments of :class:`ProjectorBalance`: ``pcr``, ``pcr_weight``, ``literal_eq4``.
    """

    def __init__(self, num_projectors: int, temperature: float = 0.2, balance: dict | None = None) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.balance = ProjectorBalance(num_projectors, **(balance or {}))

    def loss(self, z_q: Tensor, z_k: Tensor, queues: Tensor) -> dict[str, Tensor]:
        """Compare queries with their keys and with M queues; PCR applies to the queries.

        Args:
            z_q: Online embeddings, (M, N, d).
            z_k: Teacher's embeddings of the other view, (M, N, d), without gradient.
            queues: Unit keys as columns, (M, d, Q).

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        losses, accuracies = LF.info_nce_and_accuracy(z_q, z_k, queues, self.temperature, unit_queue=True)  # (M,)
        return self.balance(losses, accuracies, z_q)

import torch
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.dist import batch_unshuffle, start_batch_shuffle
from lewel_plugins.registry import MODELS

from ..key_queue import KeyQueue
from ..projector_balance import ProjectorBalance
from .base import MomentumPretrainer, check_temperature


@MODELS.register_module()
class MPCLMoCo(MomentumPretrainer):
    """MPCL on MoCo v2: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple Projectors.

    M projectors with a queue of negatives each (Eq. 1). With M = 1 it is MoCo v2. The accuracy that PTB weighs by is
    the share of queries whose key is more similar than every key of the queue.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`MultiProjectorNeck`.
        temperature: Temperature τ.
        queue_len: Keys in each queue.
        pcr_weight: λ of Eq. 4, the weight of projector contrastive regularisation (PCR).
        squared_pcr: PCR on squared cosines instead of signed ones.
        literal_eq4: Another 1/M before the contrastive losses, as Eq. 4 reads.
        momentum: Teacher's 1 − α, constant.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        temperature: float = 0.2,
        queue_len: int = 65536,
        pcr_weight: float = 0.01,
        squared_pcr: bool = False,
        literal_eq4: bool = False,
        momentum: float = 0.001,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        self.temperature = check_temperature(temperature)
        self.queue = KeyQueue(self.neck.out_channels, queue_len, self.neck.num_projectors)
        self.balance = ProjectorBalance(self.neck.num_projectors, pcr_weight, squared_pcr, literal_eq4)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Eqs. 1, 2 and 4, view 1 querying view 2 as in MoCo v2; PCR is on the queries.

        Args:
            inputs: Query and key view, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimises their sum.
        """
        x_q, x_k = self.views(inputs, 2)
        shuffled = start_batch_shuffle(x_k)  # ranks exchange images while the queries are computed
        z_q = self.neck(self.backbone(x_q))  # (M, N, d)
        z_k = self._keys(*shuffled())
        enqueue = self.queue.start_enqueue(z_k)
        losses, accuracies = LF.queue_contrast(z_q, z_k, self.queue.keys, self.temperature)  # (M,)
        enqueue()
        return self.balance(losses, accuracies, z_q)

    @torch.no_grad()
    def _keys(self, x: Tensor, order: Tensor | None) -> Tensor:
        """Teacher's z (M, N, d) of a shuffled batch."""
        z = self.teacher(x).transpose(0, 1)  # (N, M, d)
        return batch_unshuffle(z, order).transpose(0, 1)

    def rank_statistics(self) -> list[Tensor]:
        """BN's running statistics, and the sums that the projectors' accuracies come from."""
        return super().rank_statistics() + self.balance.accumulators()

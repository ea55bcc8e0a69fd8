from mmpretrain.models.selfsup import MoCoV3ViT
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from ..necks.multi_projector_neck import build_mlps
from ..projector_balance import ProjectorBalance
from .base import MomentumPretrainer, check_temperature


@MODELS.register_module()
class MPCLMoCoV3(MomentumPretrainer):
    """MPCL on MoCo v3: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple Projectors.

    M projectors, each with a predictor and an InfoNCE against the keys of the batch on all ranks, symmetric in the
    two views and scaled by 2τ as MoCo v3's. With M = 1 it is MoCo v3. The accuracy that PTB weighs by is top-1 in the
    batch. PCR is on the projectors' outputs, the mean over the views.

    For a transformer the backbone is mmpretrain's ``MoCoV3ViT`` with ``stop_grad_conv1=True``: its patch embedding
    stays random, its sin-cos positions are fixed.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`MultiProjectorNeck`.
        predictor: Arguments of the predictors: ``hid_channels``, and others of :class:`MultiProjectorNeck` but its
            numbers of channels and projectors, which are the neck's.
        temperature: Temperature τ.
        pcr_weight: λ of Eq. 4, the weight of projector contrastive regularisation (PCR).
        squared_pcr: PCR on squared cosines instead of signed ones.
        literal_eq4: Another 1/M before the contrastive losses, as Eq. 4 reads.
        momentum: Teacher's 1 − α at the start; a cosine takes it to 0.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        predictor: dict,
        temperature: float = 0.2,
        pcr_weight: float = 0.01,
        squared_pcr: bool = False,
        literal_eq4: bool = False,
        momentum: float = 0.01,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, 0.0, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        M, d = self.neck.num_projectors, self.neck.out_channels
        self.temperature = check_temperature(temperature)
        self.predictor = build_mlps(M, d, out_channels=d, **predictor)
        self.balance = ProjectorBalance(M, pcr_weight, squared_pcr, literal_eq4)
        if isinstance(self.backbone, MoCoV3ViT):
            # mmpretrain does so only when it draws the weights, after DDP has begun to expect a gradient.
            self.backbone.pos_embed.requires_grad_(False)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Eqs. 1, 2 and 4, both directions.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimises their sum.
        """
        x1, x2 = self.views(inputs, 2)
        # The teacher first: what it needs on the way is freed before the online activations pile up, and ranks exchange
        # its keys, which have no gradient, while the online networks run.
        keys_1, keys_2 = (dist.start_gather(self.teacher(x).transpose(0, 1)) for x in (x1, x2))
        z1, z2 = self.neck(self.backbone(x1)), self.neck(self.backbone(x2))  # (M, N, d)
        q1, q2 = self.predictor(z1), self.predictor(z2)
        loss_12, accuracy_12 = self._contrast(q1, keys_2())
        loss_21, accuracy_21 = self._contrast(q2, keys_1())
        return self.balance(loss_12 + loss_21, (accuracy_12 + accuracy_21) / 2, z1, z2)

    def _contrast(self, q: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy (M,) of queries (M, N, d) against the keys of all ranks (WN, M, d)."""
        similarities = LF.batch_similarities(q, keys.transpose(0, 1), self.temperature, first=dist.rank() * q.shape[1])
        return 2 * self.temperature * LF.nce(*similarities), LF.ranked_first(*similarities)

    def rank_statistics(self) -> list[Tensor]:
        """BN's running statistics, and the sums that the projectors' accuracies come from."""
        return super().rank_statistics() + self.balance.accumulators()

from functools import partial

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from ..momentum_encoder import running_statistics
from ..projector_balance import ProjectorBalance
from .base import check_views, check_width, use_channels_last


@MODELS.register_module()
class MPCLBarlowTwins(BaseSelfSupervisor):
    """MPCL on Barlow Twins: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple
    Projectors.

    M projectors, each with a cross-correlation loss whose moments are those of the batch over all ranks. With M = 1 it
    is Barlow Twins. The accuracy that PTB weighs by is our definition, the paper gives none: top-1 retrieval of an
    image's other view in the batch, by the cosine of the standardised embeddings. PCR is the mean over the views.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`MultiProjectorNeck`.
        redundancy_weight: λ of Barlow Twins.
        pcr_weight: λ of Eq. 4, the weight of projector contrastive regularisation (PCR).
        squared_pcr: PCR on squared cosines instead of signed ones.
        literal_eq4: Another 1/M before the losses, as Eq. 4 reads.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        redundancy_weight: float = 0.0051,
        pcr_weight: float = 0.01,
        squared_pcr: bool = False,
        literal_eq4: bool = False,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone, neck=neck, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        check_width(self)
        use_channels_last(self.backbone)
        if not redundancy_weight >= 0:
            raise ValueError(f'redundancy_weight must not be negative, got {redundancy_weight}')
        self.redundancy_weight = redundancy_weight
        self.balance = ProjectorBalance(self.neck.num_projectors, pcr_weight, squared_pcr, literal_eq4)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """A cross-correlation loss a projector, and Eqs. 2 and 4.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimises their sum.
        """
        x1, x2 = check_views(self, inputs, 2)
        z = torch.stack([self.neck(self.backbone(x)) for x in (x1, x2)])  # (2, M, N, d)
        y1, y2 = LF.standardize(z, dist.world_size(), dist.all_reduce_sum)
        y1_all, y2_all = _of_all_ranks(y1), _of_all_ranks(y2)
        sum_over_ranks = partial(dist.all_reduce_sum, same_loss=True)
        losses = LF.barlow_twins(y1, y2, self.redundancy_weight, y1_all, y2_all, sum_over_ranks)
        return self.balance(losses, self._accuracy(y1, y2_all), *z)

    @torch.no_grad()
    def _accuracy(self, y1: Tensor, keys: Tensor) -> Tensor:
        """How often view 1 finds its view 2 among those of all ranks (M, WN, d), (M,)."""
        return LF.ranked_first(*LF.batch_similarities(y1, keys, 1.0, first=dist.rank() * y1.shape[1]))

    def start_training(self) -> None:
        """Called once before the first iteration of a run, after weights were loaded and modules replaced."""
        self._statistics = running_statistics(self) + self.balance.accumulators()

    def momentum_update(self, progress: float) -> None:
        """Called by ``MomentumUpdateHook`` after every optimizer step: what each rank's batch has moved is averaged.

        Args:
            progress: Unused, there is no teacher.
        """
        dist.average_(self._statistics)


def _of_all_ranks(y: Tensor) -> Tensor:
    """(M, N, d) → (M, WN, d), in rank order, without gradient."""
    return dist.all_gather(y.detach().transpose(0, 1)).transpose(0, 1)

from typing import Any

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.registry import MODELS

from ..heads import build_head
from .base import check_views, check_width, rank_statistics, use_channels_last


@MODELS.register_module()
class MPCLBarlowTwins(BaseSelfSupervisor):
    """MPCL on Barlow Twins: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple
    Projectors.

    There are M projectors, each with a cross-correlation loss, and there is no teacher. With M = 1 it is Barlow Twins.

    Equations:
        Barlow Twins, Eq. 1: ``barlow_twins`` in functional/contrastive.py.
        Barlow Twins, Eq. 2: ``standardize`` and ``barlow_twins`` in functional/contrastive.py.
        MPCL, Sec. III-B: ``projector_cosines`` in functional/mpcl.py.
        MPCL, Eq. 2: ``projector_regularization`` in functional/mpcl.py.
        MPCL, Eq. 3 (accuracy): ``batch_similarities`` and ``ranked_first`` in functional/contrastive.py.
        MPCL, Eq. 3 (weights): ``training_balance`` in functional/mpcl.py.
        MPCL, Eq. 4: ``projector_terms`` in functional/mpcl.py.
        CKA, Eq. 3: ``hsic`` in functional/measures.py.
        CKA, Eq. 4: ``cka`` in functional/measures.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`MultiProjectorNeck`.
        head: Config of an :class:`MPCLBarlowTwinsHead`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.
    """

    head: Any

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone=backbone, neck=neck, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        check_width(self)
        use_channels_last(self.backbone)
        self.head = build_head(head, self.neck)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Correlate the two views. MPCL, Eqs. 2 and 4.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        x1, x2 = check_views(self, inputs, 2)
        z = torch.stack([self.neck(self.backbone(x)) for x in (x1, x2)])  # (2, M, N, d)
        return self.head.loss(z)

    def before_training(self) -> None:
        """Prepare for a run; called once before its first iteration, when weights are loaded and modules replaced."""
        self._statistics = rank_statistics(self)

    def after_optimizer_step(self, progress: float) -> None:
        """Average the buffers that each rank has updated from its own batch; called once after every optimizer step.

        Args:
            progress: Unused, because there is no teacher.
        """
        dist.average_(self._statistics)

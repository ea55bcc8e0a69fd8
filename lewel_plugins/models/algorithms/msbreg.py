import torch
from torch import Tensor

from lewel_plugins.functional import centroid_loss
from lewel_plugins.registry import MODELS

from ..losses import BrownianLoss, SingularValueLoss
from ..necks.mlp import MLP
from .base import MomentumPretrainer


@MODELS.register_module()
class MSBReg(MomentumPretrainer):
    """BYOL with K views and three forces. Moon et al. 2022, An Embedding-Dynamic Approach to Self-Supervised Learning.

    The number of views K ≥ 2 is the data's. Networks are called once a view: batch norm has its statistics per view,
    as in BYOL, views may differ in size, and time and memory grow with K, not faster. A teacher that takes no
    statistics (``eman``) is called once.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`ProjectionNeck`; the predictor has its norm and standardisation.
        hid_channels: Hidden channels of the predictor.
        lambda_s: Weight of the singular value loss (Eq. 2); 0 leaves it out.
        lambda_b: Weight of the Brownian loss (Eq. 2); 0 leaves it out.
        exclude_self: Whether a view's centroid leaves its own target out, see ``functional.centroid_loss``; with two
            views and λ_s = λ_b = 0 that is half of BYOL's loss.
        normalize: Whether the singular value loss takes unit vectors.
        momentum: Teacher's 1 − α at the start; a cosine takes it to 0. 0.004, for 100 epochs or less 0.01.
        teacher_norm: ``train`` (BYOL's) or ``eman``, see :class:`MomentumEncoder`.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        hid_channels: int = 2048,
        lambda_s: float = 4e-3,
        lambda_b: float = 0.5,
        exclude_self: bool = False,
        normalize: bool = False,
        momentum: float = 0.004,
        teacher_norm: str = 'train',
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, 0.0, teacher_norm, pretrained=pretrained, data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )  # fmt: skip
        d = self.neck.out_channels
        self.predictor = MLP(d, hid_channels, d, self.neck.norm, self.neck.standardize)
        self.exclude_self = exclude_self
        self.singular_value_loss = SingularValueLoss(lambda_s, normalize)
        self.brownian_loss = BrownianLoss(lambda_b)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Eq. 2.

        Args:
            inputs: K ≥ 2 views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_centroid`` L_c, ``loss_singular`` λ_s L_s, ``loss_brownian`` λ_b L_b; mmengine minimises their sum.
        """
        views = self.views(inputs, 2, or_more=True)
        # The teacher first: what it needs on the way is freed before the online activations pile up.
        z = self.teacher.each_view(views)  # (K, N, d), without gradient
        p = torch.stack([self.predictor(self.neck(self.backbone(x))) for x in views])  # (K, N, d)
        losses = dict(loss_centroid=centroid_loss(p, z, self.exclude_self))
        for force in (self.singular_value_loss, self.brownian_loss):
            if force.weight:
                losses[f'loss_{force.name}'] = force(p)
        return losses

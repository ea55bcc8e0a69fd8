from torch import Tensor

from lewel_plugins.functional import cosine_mse
from lewel_plugins.registry import MODELS

from ..necks.mlp import MLP
from .base import MomentumPretrainer, check_beta


@MODELS.register_module()
class LEWELB(MomentumPretrainer):
    """LEWEL on BYOL: Huang et al. 2022, Learning Where to Learn in Cross-View Self-Supervised Learning, Sec. 3.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`LEWELNeck`.
        hid_channels: Hidden channels of the predictors q and s.
        beta: Weight β of the aligned loss, in [0, 1] (Eq. 3).
        momentum: Teacher's 1 − α at the start; a cosine takes it to 0. The paper: 0.02 with ``eman``, and BYOL's
            0.004 with SyncBN.
        teacher_norm: ``eman``: eval mode and averaged BN statistics (100 and 200 epochs); ``train``: the teacher's
            BN uses its own batch (400 epochs, with ``sync_bn='torch'`` in the config).
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        hid_channels: int = 4096,
        beta: float = 0.5,
        momentum: float = 0.02,
        teacher_norm: str = 'eman',
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, 0.0, teacher_norm, pretrained=pretrained, data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )  # fmt: skip
        self.beta = check_beta(beta)
        d, c = self.neck.out_channels, self.neck.aligned_channels
        self.q = MLP(d, hid_channels, d)
        self.s = MLP(c, hid_channels, c)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Eqs. 3 and 5, both directions.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_global`` (1 − β)L_g and ``loss_aligned`` βL_a; mmengine minimises their sum.
        """
        x1, x2 = self.views(inputs, 2)
        # The teacher first: what it needs on the way is freed before the online activations pile up.
        t1, b1 = self.teacher(x1)  # (N, d), (N, d/h, c), without gradient
        t2, b2 = self.teacher(x2)
        z1, a1 = self.neck(self.backbone(x1))
        z2, a2 = self.neck(self.backbone(x2))
        loss_global = cosine_mse(self.q(z1), t2) + cosine_mse(self.q(z2), t1)
        loss_aligned = cosine_mse(self.s(a1), b2) + cosine_mse(self.s(a2), b1)
        return dict(loss_global=(1 - self.beta) * loss_global, loss_aligned=self.beta * loss_aligned)

from torch import Tensor

from lewel_plugins.registry import MODELS

from .base import MomentumPretrainer


@MODELS.register_module()
class LEWELB(MomentumPretrainer):
    """LEWEL on BYOL: Huang et al. 2022, Learning Where to Learn in Cross-View Self-Supervised Learning, Sec. 3.

    Equations:
        LEWEL, Sec. 3.2: ``alignment_maps`` in functional/lewel.py.
        LEWEL, Eqs. 1 and 2: ``aligned_pooling`` in functional/lewel.py.
        LEWEL, Eq. 3: ``LEWELPredictHead.loss`` in models/heads/lewel_predict_head.py.
        LEWEL, Eq. 5: ``cosine_mse`` in functional/lewel.py.
        LEWEL, Sec. 3.1: ``MomentumEncoder.update`` in models/momentum_encoder.py.
        BYOL, Sec. 3.3: ``MomentumEncoder.momentum_at`` in models/momentum_encoder.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`LEWELNeck`.
        head: Config of a :class:`LEWELPredictHead`.
        momentum: 1 − α of the teacher at the start of a cosine schedule to 0. The paper has 0.02 with ``eman``, and
            0.004 with SyncBN, as in BYOL.
        teacher_norm: ``eman``: eval mode and averaged BN statistics (100 and 200 epochs). ``train``: the teacher's
            BN uses its own batch (400 epochs, with ``sync_bn='torch'`` in the config).
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        momentum: float = 0.02,
        teacher_norm: str = 'eman',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, momentum, 0.0, teacher_norm, data_preprocessor, init_cfg)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Predict the teacher's embeddings of each view from the online ones of the other. LEWEL, Eqs. 3 and 5.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_global`` (1 − β)L_g and ``loss_aligned`` βL_a; mmengine minimizes their sum.
        """
        x1, x2 = self.views(inputs, 2)
        # The teacher runs first: its activations are freed before the online networks, whose activations stay, run.
        z, z_aligned = self.teacher.each_view([x1, x2])  # (2, N, d) and (2, N, d/h, c), without gradient
        online = self.neck(self.backbone(x1)), self.neck(self.backbone(x2))
        return self.head.loss(online, ((z[0], z_aligned[0]), (z[1], z_aligned[1])))

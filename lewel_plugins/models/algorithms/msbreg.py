from torch import Tensor

from lewel_plugins.registry import MODELS

from ..batch_norm import use_view_batch_norm
from .base import MomentumPretrainer


@MODELS.register_module()
class MSBReg(MomentumPretrainer):
    """BYOL with K views and three forces. Moon et al. 2022, An Embedding-Dynamic Approach to Self-Supervised Learning.

    The pipeline sets the number of views K ≥ 2. Batch norm has its statistics per view, as in BYOL, views may differ in
    size, and time and memory are linear in K. On GPUs and on several ranks, views of one size go through the
    networks together, see :func:`embed_views`.

    Equations:
        MSBReg, Eq. 2: ``MSBRegHead.loss`` in models/heads/msbreg_head.py.
        MSBReg, Eq. 3: ``centroid_loss`` in functional/msbreg.py.
        MSBReg, Eq. 4: ``brownian_loss`` in functional/msbreg.py.
        MSBReg, Eqs. 5 to 7: ``singular_value_loss`` in functional/msbreg.py.
        MSBReg, Sec. 3.1: ``MomentumEncoder.update`` in models/momentum_encoder.py.
        BYOL, Sec. 3.3: ``MomentumEncoder.momentum_at`` in models/momentum_encoder.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`ProjectionNeck`.
        head: Config of an :class:`MSBRegHead`.
        momentum: 1 − α of the teacher at the start of a cosine schedule to 0: 0.004, or 0.01 for 100 epochs or less.
        teacher_norm: ``train``, as in BYOL, or ``eman``, see :class:`MomentumEncoder`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        momentum: float = 0.004,
        teacher_norm: str = 'train',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, momentum, 0.0, teacher_norm, data_preprocessor, init_cfg)
        use_view_batch_norm(self)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Pull all views toward the centroid of the teacher's embeddings, and regularize them. MSBReg, Eq. 2.

        Args:
            inputs: K ≥ 2 views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_centroid`` λ_c L_c, ``loss_singular`` λ_s L_s, ``loss_brownian`` λ_b L_b, which mmengine adds.
        """
        views = self.views(inputs, 2, or_more=True)
        # The teacher runs first: its activations are freed before the online networks, whose activations stay, run.
        z_t = self.teacher.each_view(views)  # (K, N, d), without gradient
        z = self.embed(views)  # K times (N, d)
        return self.head.loss(z, z_t)

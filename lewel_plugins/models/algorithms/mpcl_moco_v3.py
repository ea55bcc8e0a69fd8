from mmpretrain.models.selfsup import MoCoV3ViT
from torch import Tensor

from lewel_plugins import dist
from lewel_plugins.registry import MODELS

from .base import MomentumPretrainer


@MODELS.register_module()
class MPCLMoCoV3(MomentumPretrainer):
    """MPCL on MoCo v3: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple Projectors.

    There are M projectors, each with a predictor and an InfoNCE over the batch of all ranks. With M = 1 it is MoCo v3.
    For a transformer the backbone is mmpretrain's ``MoCoV3ViT`` with ``stop_grad_conv1=True``: its patch embedding
    stays random, and its sin-cos positions are fixed.

    Equations:
        MoCo v3, Algorithm 1: ``MPCLPredictHead.loss`` in models/heads/mpcl_predict_head.py.
        MPCL, Eq. 1: ``batch_similarities`` and ``nce`` in functional/contrastive.py.
        MPCL, Sec. III-B: ``projector_cosines`` in functional/mpcl.py.
        MPCL, Eq. 2: ``projector_regularization`` in functional/mpcl.py.
        MPCL, Eq. 3 (accuracy): ``ranked_first`` in functional/contrastive.py.
        MPCL, Eq. 3 (weights): ``training_balance`` in functional/mpcl.py.
        MPCL, Eq. 4: ``projector_terms`` in functional/mpcl.py.
        Barlow Twins, Eq. 2: ``standardize`` in functional/contrastive.py.
        MoCo, Eq. 2: ``MomentumEncoder.update`` in models/momentum_encoder.py.
        BYOL, Sec. 3.3: ``MomentumEncoder.momentum_at`` in models/momentum_encoder.py.
        CKA, Eq. 3: ``hsic`` in functional/measures.py.
        CKA, Eq. 4: ``cka`` in functional/measures.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`MultiProjectorNeck`.
        head: Config of an :class:`MPCLPredictHead`.
        momentum: 1 − α of the teacher at the start of a cosine schedule to 0.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        momentum: float = 0.01,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, momentum, 0.0, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if isinstance(self.backbone, MoCoV3ViT):
            # mmpretrain does so only when it initializes the weights, after DDP has begun to expect this gradient.
            self.backbone.pos_embed.requires_grad_(False)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Contrast each view with the keys of the other. MPCL, Eqs. 1, 2 and 4.

        Args:
            inputs: Two views, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        x1, x2 = self.views(inputs, 2)
        # The teacher runs first: its activations are freed before the online networks, whose activations stay, run.
        # While these run, ranks exchange the teacher's keys, which have no gradient.
        keys = tuple(dist.start_gather(self.teacher(x).transpose(0, 1)) for x in (x1, x2))  # (WN, M, d) each
        z = self.neck(self.backbone(x1)), self.neck(self.backbone(x2))  # (M, N, d)
        return self.head.loss(z, keys)

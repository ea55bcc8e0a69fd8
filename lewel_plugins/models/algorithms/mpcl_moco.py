import torch
from torch import Tensor

from lewel_plugins.dist import batch_unshuffle
from lewel_plugins.registry import MODELS

from ..key_queue import KeyQueue
from .base import MomentumPretrainer


@MODELS.register_module()
class MPCLMoCo(MomentumPretrainer):
    """MPCL on MoCo v2: Zhu and Yu, Retaining Diverse Information in Contrastive Learning through Multiple Projectors.

    There are M projectors, each with a queue of negatives. With M = 1 it is MoCo v2.

    Equations:
        MPCL, Eq. 1: ``info_nce_and_accuracy`` in functional/contrastive.py.
        MPCL, Sec. III-B: ``projector_cosines`` in functional/mpcl.py.
        MPCL, Eq. 2: ``projector_regularization`` in functional/mpcl.py.
        MPCL, Eq. 3 (accuracy): ``info_nce_and_accuracy`` in functional/contrastive.py.
        MPCL, Eq. 3 (weights): ``training_balance`` in functional/mpcl.py.
        MPCL, Eq. 4: ``projector_terms`` in functional/mpcl.py.
        Barlow Twins, Eq. 2: ``standardize`` in functional/contrastive.py.
        MoCo, Eq. 2: ``MomentumEncoder.update`` in models/momentum_encoder.py.
        CKA, Eq. 3: ``hsic`` in functional/measures.py.
        CKA, Eq. 4: ``cka`` in functional/measures.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`MultiProjectorNeck`.
        head: Config of an :class:`MPCLContrastHead`.
        queue_len: Number of keys in each queue.
        momentum: 1 − α of the teacher, constant.
        teacher_norm: ``train``, with ShuffleBN over ranks, or ``eman``, as in :class:`LEWELM`.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        queue_len: int = 65536,
        momentum: float = 0.001,
        teacher_norm: str = 'train',
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, momentum, None, teacher_norm, data_preprocessor, init_cfg)
        self.queue = KeyQueue(self.neck.out_channels, queue_len, self.neck.num_projectors)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Contrast view 1 with the keys of view 2, as in MoCo v2. MPCL, Eqs. 1, 2 and 4.

        Args:
            inputs: Query and key view, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_contrastive`` and ``loss_pcr``; mmengine minimizes their sum.
        """
        x_q, x_k = self.views(inputs, 2)
        shuffled = self.start_shuffle(x_k)  # ranks exchange images while the queries are computed
        z_q = self.neck(self.backbone(x_q))  # (M, N, d)
        z_k = self._keys(*shuffled())
        enqueue = self.queue.start_enqueue(z_k)  # ranks exchange keys while the loss is computed
        losses = self.head.loss(z_q, z_k, self.queue.keys)
        enqueue()
        return losses

    @torch.no_grad()
    def _keys(self, x: Tensor, order: Tensor | None) -> Tensor:
        """Return the teacher's z (M, N, d) of a shuffled batch, unshuffled."""
        z = self.teacher(x).transpose(0, 1)  # (N, M, d)
        return batch_unshuffle(z, order).transpose(0, 1)

import torch
from torch import Tensor

from lewel_plugins.dist import batch_unshuffle
from lewel_plugins.registry import MODELS

from ..key_queue import KeyQueue
from .base import MomentumPretrainer


@MODELS.register_module()
class LEWELM(MomentumPretrainer):
    """LEWEL on MoCo v2: Huang et al. 2022, Learning Where to Learn in Cross-View Self-Supervised Learning, Sec. 3.

    Equations:
        LEWEL, Sec. 3.2: ``alignment_maps`` in functional/lewel.py.
        LEWEL, Eqs. 1 and 2: ``aligned_pooling`` in functional/lewel.py.
        LEWEL, Eq. 3: ``LEWELContrastHead.loss`` in models/heads/lewel_contrast_head.py.
        LEWEL, Eq. 4: ``info_nce`` in functional/contrastive.py, ``aligned_info_nce`` in functional/lewel.py.
        LEWEL, Sec. 3.1: ``MomentumEncoder.update`` in models/momentum_encoder.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`LEWELNeck`.
        head: Config of a :class:`LEWELContrastHead`.
        queue_len: Number of keys in the queue of the global loss.
        momentum: 1 − α of the teacher, constant; 0.001 is the paper's α = 0.999.
        teacher_norm: ``train``: the teacher's BN uses its own batch, with ShuffleBN over ranks, as in the paper. In one
            process there is nothing to shuffle with: BN sees query and key in batches of the same images. ``eman``:
            eval mode and averaged BN statistics, so that no key depends on its batch, on any number of ranks.
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
        self.queue = KeyQueue(self.neck.out_channels, queue_len)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Contrast view 1 with the keys of view 2, as in MoCo v2. LEWEL, Eqs. 3 and 4.

        Args:
            inputs: Query and key view, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_global`` (1 − β)L_g and ``loss_aligned`` βL_a; mmengine minimizes their sum.
        """
        x_q, x_k = self.views(inputs, 2)
        shuffled = self.start_shuffle(x_k)  # ranks exchange images while the queries are computed
        query = self.neck(self.backbone(x_q))  # z (N, d) and z_aligned (N, d/h, c)
        key = self._keys(*shuffled())
        enqueue = self.queue.start_enqueue(key[0])  # ranks exchange keys while the loss is computed
        losses = self.head.loss(query, key, self.queue.keys)
        enqueue()
        return losses

    @torch.no_grad()
    def _keys(self, x: Tensor, order: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the teacher's z (N, d) and z_aligned (N, d/h, c) of a shuffled batch, unshuffled in one exchange."""
        z, a = self.teacher(x)
        both = batch_unshuffle(torch.cat([z, a.flatten(1)], 1), order)
        return both[:, : z.shape[1]], both[:, z.shape[1] :].view_as(a)

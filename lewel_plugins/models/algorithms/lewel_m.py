import torch
from torch import Tensor

from lewel_plugins.dist import batch_unshuffle, start_batch_shuffle
from lewel_plugins.functional import aligned_info_nce, queue_contrast
from lewel_plugins.registry import MODELS

from ..key_queue import KeyQueue
from .base import MomentumPretrainer, check_beta, check_temperature


@MODELS.register_module()
class LEWELM(MomentumPretrainer):
    """LEWEL on MoCo v2: Huang et al. 2022, Learning Where to Learn in Cross-View Self-Supervised Learning, Sec. 3.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`LEWELNeck`.
        beta: Weight β of the aligned loss, in [0, 1] (Eq. 3).
        temperature: Temperature τ of both losses.
        queue_len: Keys in the queue of the global loss.
        momentum: Teacher's 1 − α, constant; 0.001 is the paper's α = 0.999.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        beta: float = 0.5,
        temperature: float = 0.2,
        queue_len: int = 65536,
        momentum: float = 0.001,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        self.beta, self.temperature = check_beta(beta), check_temperature(temperature)
        self.queue = KeyQueue(self.neck.out_channels, queue_len)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Eqs. 3 and 4, view 1 querying view 2 as in MoCo v2; the negatives of L_a are local.

        Args:
            inputs: Query and key view, each (N, 3, H, W).
            data_samples: Unused.

        Returns:
            ``loss_global`` (1 − β)L_g and ``loss_aligned`` βL_a; mmengine minimises their sum.
        """
        x_q, x_k = self.views(inputs, 2)
        shuffled = start_batch_shuffle(x_k)  # ranks exchange images while the queries are computed
        z_q, a_q = self.neck(self.backbone(x_q))  # (N, d), (N, d/h, c)
        z_k, a_k = self._keys(*shuffled())
        enqueue = self.queue.start_enqueue(z_k)
        loss_global, _ = queue_contrast(z_q, z_k, self.queue.keys, self.temperature)
        loss_aligned = aligned_info_nce(a_q, a_k, self.temperature)
        enqueue()
        return dict(loss_global=(1 - self.beta) * loss_global, loss_aligned=self.beta * loss_aligned)

    @torch.no_grad()
    def _keys(self, x: Tensor, order: Tensor | None) -> tuple[Tensor, Tensor]:
        """Teacher's z (N, d) and z_aligned (N, d/h, c) of a shuffled batch; both travel back in one exchange."""
        z, a = self.teacher(x)
        both = batch_unshuffle(torch.cat([z, a.flatten(1)], 1), order)
        return both[:, : z.shape[1]], both[:, z.shape[1] :].view_as(a)

from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from .checks import check_beta, check_temperature


@MODELS.register_module()
class LEWELContrastHead(BaseModule):
    """InfoNCE on global and on aligned embeddings, for LEWEL_M. LEWEL, Eqs. 3 and 4.

    Args:
        beta: Weight β of the aligned loss, in [0, 1].
        temperature: Temperature τ of both losses.
    """

    def __init__(self, beta: float = 0.5, temperature: float = 0.2) -> None:
        super().__init__()
        self.beta, self.temperature = check_beta(beta), check_temperature(temperature)

    def loss(self, query: tuple[Tensor, Tensor], key: tuple[Tensor, Tensor], queue: Tensor) -> dict[str, Tensor]:
        """Compare queries with their keys and with the queue; the negatives of L_a are those of the local batch.

        Args:
            query: Online z (N, d) and z_aligned (N, d/h, c).
            key: Teacher's z and z_aligned of the other view, of the same shapes.
            queue: Unit keys as columns, (d, Q).

        Returns:
            ``loss_global`` (1 − β)L_g and ``loss_aligned`` βL_a; mmengine minimizes their sum.
        """
        (z_q, a_q), (z_k, a_k) = query, key
        loss_global = LF.info_nce(z_q, z_k, queue, self.temperature, unit_queue=True)
        loss_aligned = LF.aligned_info_nce(a_q, a_k, self.temperature)
        return dict(loss_global=(1 - self.beta) * loss_global, loss_aligned=self.beta * loss_aligned)

import torch
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.functional import centroid_loss
from lewel_plugins.registry import MODELS

from ..batch_norm import embed_views
from ..losses import BrownianLoss, SingularValueLoss
from ..losses.weight import check_weight
from ..necks.mlp import MLP


@MODELS.register_module()
class MSBRegHead(BaseModule):
    """Prediction of a centroid, and two regularizers of the predictions. MSBReg, Eqs. 2 to 7.

    Args:
        in_channels: Channels d of an embedding, by default those of the neck.
        hid_channels: Hidden channels of the predictor.
        lambda_s: Weight of the singular value loss (Eq. 2); 0 leaves it out.
        lambda_b: Weight of the Brownian loss (Eq. 2); 0 leaves it out.
        lambda_c: Weight of the centroid loss, 1 in the paper.
        exclude_self: Whether a view's centroid leaves out its own target, see ``functional.centroid_loss``. With two
            views, the centroid loss is then half of BYOL's loss; with ``lambda_c=2``, it is BYOL's loss.
        normalize: Whether the singular value loss normalizes the predictions first.
        sync: Whether the covariance is over the images of all ranks, see :class:`SingularValueLoss`.
        norm: ``BN`` or ``LN``, by default that of the neck.
        standardize: Whether to standardize weights, by default as in the neck.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int = 2048,
        lambda_s: float = 4e-3,
        lambda_b: float = 0.5,
        lambda_c: float = 1.0,
        exclude_self: bool = False,
        normalize: bool = False,
        sync: bool = True,
        norm: str = 'BN',
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.predictor = MLP(in_channels, hid_channels, in_channels, norm, standardize)
        self.lambda_c, self.exclude_self = check_weight(lambda_c), exclude_self
        self.singular_value_loss = SingularValueLoss(lambda_s, normalize, sync)
        self.brownian_loss = BrownianLoss(lambda_b)

    def loss(self, z: list[Tensor], z_t: Tensor) -> dict[str, Tensor]:
        """Pull the predictions of all views toward the centroid of the teacher's embeddings, and regularize them.

        Args:
            z: Online embeddings of the K views, (N, d) each.
            z_t: Teacher's embeddings of the views, (K, N, d), without gradient.

        Returns:
            ``loss_centroid`` λ_c L_c, ``loss_singular`` λ_s L_s, ``loss_brownian`` λ_b L_b, which mmengine adds.
        """
        p = torch.stack(embed_views(self.predictor, [self.predictor], z))  # (K, N, d)
        losses = dict(loss_centroid=self.lambda_c * centroid_loss(p, z_t, self.exclude_self))
        for regularizer in (self.singular_value_loss, self.brownian_loss):
            if regularizer.weight:
                losses[f'loss_{regularizer.name}'] = regularizer(p)
        return losses

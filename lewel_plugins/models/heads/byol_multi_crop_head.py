import torch
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.functional import multi_crop_loss
from lewel_plugins.registry import MODELS

from ..batch_norm import embed_views
from ..necks.mlp import MLP

LARGE = 2  # number of large views


@MODELS.register_module()
class BYOLMultiCropHead(BaseModule):
    """BYOL's prediction over all ordered pairs of two views. MSBReg, Sec. 4.4.

    The loss is a sum over pairs, as printed: 2 pairs in BYOL, and with six small views 56, or 14 with
    ``targets='large'``. So its gradient is about 28 or 7 times that of BYOL. LARS divides by the norm of the gradient:
    the steps of the weights do not depend on that factor, only the share of the weight decay in them does. The
    parameters that LARS does not adapt, in the recipes those of BN and the biases, take steps longer by that factor at
    the same rate. So do all parameters under SGD, where the rate has to be divided by it.

    Args:
        in_channels: Channels d of an embedding, by default those of the neck.
        hid_channels: Hidden channels of the predictor.
        targets: The views that the others predict: ``all``, as in the paper, or ``large``, as usual, which are the
            first two.
        norm: ``BN`` or ``LN``, by default that of the neck.
        standardize: Whether to standardize weights, by default as in the neck.

    Raises:
        ValueError: Unknown ``targets``.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int = 2048,
        targets: str = 'all',
        norm: str = 'BN',
        standardize: bool = False,
    ) -> None:
        super().__init__()
        if targets not in ('all', 'large'):
            raise ValueError(f"targets must be 'all' or 'large', got {targets!r}")
        self.targets = targets
        self.predictor = MLP(in_channels, hid_channels, in_channels, norm, standardize)

    def target_views(self, views: list[Tensor]) -> list[Tensor]:
        """Return the views (N, 3, h, w) whose embeddings by the teacher are predicted; the large ones come first."""
        return views if self.targets == 'all' else views[:LARGE]

    def loss(self, z: list[Tensor], z_t: Tensor) -> dict[str, Tensor]:
        """Predict the teacher's embeddings of the T targets from all other views.

        Args:
            z: Online embeddings of the V + 2 views, (N, d) each, those of the large views first.
            z_t: Teacher's embeddings of the first T views, (T, N, d), without gradient.

        Returns:
            ``loss``: a sum over the T(V + 1) pairs, a mean over the images.
        """
        p = torch.stack(embed_views(self.predictor, [self.predictor], z))  # (V + 2, N, d)
        return dict(loss=multi_crop_loss(p, z_t))

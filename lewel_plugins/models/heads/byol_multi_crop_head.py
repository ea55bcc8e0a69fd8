import torch
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.functional import multi_crop_loss
from lewel_plugins.registry import MODELS

from ..necks.mlp import MLP


@MODELS.register_module()
class BYOLMultiCropHead(BaseModule):
    """BYOL's prediction over all ordered pairs of a view and another, large view. MSBReg, Sec. 4.4.

    Args:
        in_channels: Channels d of an embedding, by default those of the neck.
        hid_channels: Hidden channels of the predictor.
        norm: ``BN`` or ``LN``, by default that of the neck.
        standardize: Whether to standardize weights, by default as in the neck.
    """

    def __init__(self, in_channels: int, hid_channels: int = 2048, norm: str = 'BN', standardize: bool = False) -> None:
        super().__init__()
        self.predictor = MLP(in_channels, hid_channels, in_channels, norm, standardize)

    def loss(self, z: list[Tensor], z_t: Tensor) -> dict[str, Tensor]:
        """Predict the teacher's embeddings of the large views from all others.

        Args:
            z: Online embeddings of the V + 2 views, (N, d) each, those of the large views first.
            z_t: Teacher's embeddings of the large views, (2, N, d), without gradient.

        Returns:
            ``loss``: a sum over the pairs, a mean over the images.
        """
        p = torch.stack([self.predictor(view) for view in z])  # (V + 2, N, d)
        return dict(loss=multi_crop_loss(p, z_t))

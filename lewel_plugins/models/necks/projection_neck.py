from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.registry import MODELS

from .mlp import MLP


@MODELS.register_module()
class ProjectionNeck(BaseModule):
    """Projector on the pooled feature: an :class:`MLP`, by default that of BYOL without biases.

    MSBReg, Sec. 7.2; SMoG, Sec. 3.4.

    Args:
        in_channels: Backbone channels D.
        hid_channels: Hidden channels (MSBReg: 2048 with ResNet-50, 512 with ResNet-18).
        out_channels: Channels of the embedding d (MSBReg: 256, 128; SMoG: 128 for CNNs, 256 for Transformers).
        norm: ``BN`` or ``LN``.
        standardize: Whether to standardize weights, with either norm.
        activation: ``relu``, or ``gelu`` as in SMoG for Transformers.
        out_norm: Whether the output is normalized too, as in SMoG.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        norm: str = 'BN',
        standardize: bool = False,
        activation: str = 'relu',
        out_norm: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.hid_channels, self.out_channels = in_channels, hid_channels, out_channels
        self.norm, self.standardize, self.activation = norm, standardize, activation
        self.g = MLP(in_channels, hid_channels, out_channels, norm, standardize, activation, out_norm)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Map a backbone output, whose last element is (N, D, H, W) or (N, D), to embeddings z (N, d)."""
        f = feats[-1]
        if f.dim() not in (2, 4) or f.shape[1] != self.in_channels:
            raise ValueError(
                f'ProjectionNeck needs features (N, {self.in_channels}) or (N, {self.in_channels}, H, W), got '
                f"{tuple(f.shape)}; in_channels is the backbone's last width"
            )
        return self.g(f.mean((2, 3)) if f.dim() == 4 else f)

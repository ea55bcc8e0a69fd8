from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.registry import MODELS

from .mlp import MLP


@MODELS.register_module()
class SMoGNeck(BaseModule):
    """SMoG's projection head: pooling, linear, BN, activation, linear, BN. SMoG, Sec. 3.4.

    Args:
        in_channels: Backbone channels D.
        hid_channels: Hidden channels.
        out_channels: Channels d of the embedding: 128 for CNNs, 256 for Transformers.
        activation: ``relu`` for CNNs, ``gelu`` for Transformers.

    Raises:
        ValueError: A width below 1, or an unknown ``activation``.
    """

    def __init__(
        self, in_channels: int, hid_channels: int = 2048, out_channels: int = 128, activation: str = 'relu'
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.activation = in_channels, out_channels, activation
        self.mlp = MLP(in_channels, hid_channels, out_channels, activation, out_norm=True)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Embeddings.

        Args:
            feats: Backbone output; its last element is a map (N, D, H, W), which is pooled, or (N, D).

        Returns:
            z, (N, d).
        """
        f = feats[-1]
        if f.dim() not in (2, 4) or f.shape[1] != self.in_channels:
            raise ValueError(
                f'SMoGNeck needs features (N, {self.in_channels}, H, W) or (N, {self.in_channels}), got '
                f"{tuple(f.shape)}; in_channels is the backbone's last width"
            )
        return self.mlp(f.mean((2, 3)) if f.dim() == 4 else f)

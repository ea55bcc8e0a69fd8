import torch
from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins import functional as LF
from lewel_plugins.registry import MODELS

from .mlp import MLP, in_low_precision

ALIGNMENTS = ('learned', 'random', 'uniform')


@MODELS.register_module()
class LEWELNeck(BaseModule):
    """LEWEL's coupled projection head. LEWEL, Sec. 3.2 and Fig. 2.

    The global projector g computes the global embedding z from the pooled feature, and d heat maps from the pixels. The
    weights are shared, and the BN statistics are over all 1 + HW positions. The maps pool the features to d/h aligned
    representations, which a second projector p embeds.

    Args:
        in_channels: Backbone channels D.
        hid_channels: Hidden channels of g and p (2048 for LEWEL_M, 4096 for LEWEL_B).
        out_channels: Channels of the global embedding and number of maps d (128, 256).
        aligned_channels: Channels of an aligned embedding c; None means c = d.
        num_groups: Channel groups h.
        coupled: Whether g also makes the maps. False gives the maps a projector of their own, so that the BN of g
            sees pooled features only (Table 5, "coupled head").
        alignment: ``learned``; ``random``: a new map from Gaussian heat at every call (Table 6); ``uniform``: 1/HW,
            which is global average pooling, so that all aligned embeddings are p(GAP F). With
            ``num_groups=out_channels`` there is one of them: an extra projection head (Table 6).
        scale: Factor of the normalized heat before the softmax over positions; 1 in the paper, which leaves the maps
            nearly uniform. A larger factor makes them more peaked.

    Raises:
        ValueError: ``num_groups`` does not divide D and d, a width is below 1, ``alignment`` is unknown, or ``scale``
            is not positive.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        aligned_channels: int | None = None,
        num_groups: int = 4,
        coupled: bool = True,
        alignment: str = 'learned',
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if num_groups < 1 or in_channels % num_groups or out_channels % num_groups:
            raise ValueError(
                f'num_groups (h) must divide in_channels (D) = {in_channels} and out_channels (d) = {out_channels}, '
                f'got {num_groups}'
            )
        if alignment not in ALIGNMENTS:
            raise ValueError(f'alignment must be one of {ALIGNMENTS}, got {alignment!r}')
        if not scale > 0:
            raise ValueError(f'scale multiplies the heat of the alignment maps and must be positive, got {scale}')
        self.in_channels, self.out_channels, self.num_groups = in_channels, out_channels, num_groups
        self.aligned_channels = out_channels if aligned_channels is None else aligned_channels
        self.num_aligned = out_channels // num_groups
        self.coupled, self.alignment, self.scale = coupled, alignment, scale
        self.g = MLP(in_channels, hid_channels, out_channels)
        self.p = MLP(in_channels, hid_channels, self.aligned_channels)
        if alignment == 'learned' and not coupled:
            self.g_maps = MLP(in_channels, hid_channels, out_channels)

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Compute global and aligned embeddings.

        Args:
            feats: Backbone output; its last element F is (N, D, H, W).

        Returns:
            z (N, d) and z_aligned (N, d/h, c), under autocast z in its type and z_aligned in float32.
        """
        f = self._positions(feats)  # (N, L, D)
        z, maps = self._project(f)  # (N, d), (N, d, L)
        if in_low_precision(f):
            # The maps are nearly uniform: y is GAP but for about 1 %, which tells the y of one image apart and which
            # float16 or bfloat16 would round away. So y − GAP, Eq. 2 with maps less 1/L, goes beside GAP.
            difference = LF.aligned_pooling(f.transpose(1, 2), maps - 1 / f.shape[1], self.num_groups)
            return z, self.p(difference, common=f.mean(1, keepdim=True, dtype=_wide(f)))
        y = LF.aligned_pooling(f.transpose(1, 2), maps, self.num_groups)  # (N, d/h, D), Eq. 2
        return z, self.p(y)

    def alignment_maps(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return the maps W, (N, d, H, W), each of sum 1, for a backbone output with the last element (N, D, H, W)."""
        _, maps = self._project(self._positions(feats))
        return maps.unflatten(2, feats[-1].shape[2:])

    def _project(self, f: Tensor) -> tuple[Tensor, Tensor]:
        N, L, _ = f.shape
        pooled = f.mean(1)  # (N, D)
        if self.alignment == 'learned' and self.coupled:
            joint = self.g(torch.cat([pooled[:, None], f], 1))  # (N, 1 + L, d)
            return joint[:, 0], LF.alignment_maps(joint[:, 1:].transpose(1, 2), self.scale)
        z = self.g(pooled)
        if self.alignment == 'learned':
            return z, LF.alignment_maps(self.g_maps(f).transpose(1, 2), self.scale)
        if self.alignment == 'random':
            return z, LF.alignment_maps(torch.randn(N, self.out_channels, L, device=f.device), self.scale)
        return z, f.new_full((1, 1, 1), 1 / L, dtype=_wide(f)).expand(N, self.out_channels, L)

    def _positions(self, feats: tuple[Tensor, ...]) -> Tensor:
        f = feats[-1]
        if f.dim() != 4 or f.shape[1] != self.in_channels:
            raise ValueError(
                f'LEWELNeck needs a feature map (N, {self.in_channels}, H, W), got {tuple(f.shape)}; in_channels is '
                "the backbone's last width, and a transformer needs out_type='featmap'"
            )
        return f.flatten(2).transpose(1, 2)  # no copy for a channels_last map


def _wide(f: Tensor) -> torch.dtype:
    return torch.promote_types(f.dtype, torch.float32)

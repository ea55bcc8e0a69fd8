from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from lewel_plugins.registry import MODELS

from .parallel_mlps import build_mlps


@MODELS.register_module()
class MultiProjectorNeck(BaseModule):
    """M projectors on the pooled feature. MPCL, Sec. III-A.

    Projectors of the same widths share their hidden layers: one hidden layer with M output layers has the parameters of
    Table III, 27.97, 28.23, 28.75 and 29.80 M with ResNet-50 for M = 1, 2, 4 and 8. They are one batched computation,
    see :class:`ParallelMLPs`. Projectors of different hidden widths (Table I, "Different") are separate and computed
    one after the other.

    Args:
        in_channels: Backbone channels D.
        hid_channels: Hidden channels: one number for all projectors, or one per projector.
        out_channels: Channels d of an embedding.
        num_projectors: M.
        mlp: Arguments of :class:`MLPSettings`, such as ``dict(num_layers=3, with_bn=False)``. Without
            ``shared_hidden``, it is True for projectors of the same width and False for those of different widths.

    Raises:
        ValueError: A number is out of range, there are not M widths, or a setting is unknown or needs equal widths.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int | Sequence[int],
        out_channels: int,
        num_projectors: int = 4,
        mlp: dict | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.num_projectors = in_channels, out_channels, num_projectors
        mlp = dict(mlp or {})
        if mlp.get('shared_hidden') is None:
            mlp['shared_hidden'] = isinstance(hid_channels, int) or len(set(hid_channels)) == 1
        self.mlps = build_mlps(num_projectors, in_channels, hid_channels, out_channels, **mlp)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the embeddings of all projectors.

        Args:
            feats: Backbone output; its last element is a map (N, D, H, W), averaged over positions, or (N, D).

        Returns:
            z, (M, N, d).
        """
        f = feats[-1]
        if f.dim() not in (2, 4) or f.shape[1] != self.in_channels:
            raise ValueError(
                f'MultiProjectorNeck needs features (N, {self.in_channels}) or (N, {self.in_channels}, H, W), got '
                f"{tuple(f.shape)}; in_channels is the backbone's last width, and a transformer needs out_type "
                "'cls_token', 'avg_featmap' or 'featmap'"
            )
        return self.mlps(f.flatten(2).mean(2) if f.dim() == 4 else f)

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from lewel_plugins.registry import MODELS

from .parallel_mlps import INITS, ParallelMLPs, SeparateMLPs


@MODELS.register_module()
class MultiProjectorNeck(BaseModule):
    """M projectors on the pooled feature. MPCL, Sec. III-A.

    Projectors of the same widths are one batched computation, see :class:`ParallelMLPs`; those of different hidden
    widths (Table I, "Different") are computed one after the other.

    Args:
        in_channels: Backbone channels D.
        hid_channels: Hidden channels; one number for all projectors, or a list with one for each.
        out_channels: Channels d of an embedding.
        num_projectors: M.
        num_layers: Linear layers of a projector: 2, or 3 as MoCo v3 has on ViT, and Barlow Twins.
        with_bn: BN in the hidden layers; False is MoCo v2's neck, whose linear layers have biases instead.
        with_last_bn: BN without affine parameters on the output (MoCo v3).
        shared_hidden: One set of hidden layers for all projectors, so that only the last layer is M-fold. The
            parameters then number as in Table III (27.97, 28.23, 28.75, 29.80 M for M = 1, 2, 4, 8 on ResNet-50).
        init: ``default``: torch's; ``kaiming``: He et al. 2015; ``mixed``: Kaiming and Xavier by turns (Table II).
        dropout: Probability that a hidden unit is dropped in training (Table II), in the teacher too.
        orthogonal: Keep the M weights of each layer orthogonal to each other, as vectors (Table II, "Orth."; the paper
            does not say how).

    Raises:
        ValueError: A number below its least, widths that are not M, an unknown ``init``, or options that need equal
            widths.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int | Sequence[int],
        out_channels: int,
        num_projectors: int = 4,
        num_layers: int = 2,
        with_bn: bool = True,
        with_last_bn: bool = False,
        shared_hidden: bool = False,
        init: str = 'default',
        dropout: float = 0.0,
        orthogonal: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.num_projectors = in_channels, out_channels, num_projectors
        self.mlps = build_mlps(
            num_projectors, in_channels, hid_channels, out_channels, num_layers, with_bn, with_last_bn, shared_hidden,
            init, dropout, orthogonal,
        )  # fmt: skip

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Embeddings of all projectors.

        Args:
            feats: Backbone output; its last element is a map (N, D, H, W), which is averaged over positions, or (N, D).

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


def build_mlps(
    num: int,
    in_channels: int,
    hid_channels: int | Sequence[int],
    out_channels: int,
    num_layers: int = 2,
    with_bn: bool = True,
    with_last_bn: bool = False,
    shared_hidden: bool = False,
    init: str = 'default',
    dropout: float = 0.0,
    orthogonal: bool = False,
) -> nn.Module:
    """M MLPs, batched if their widths are equal; arguments as of :class:`MultiProjectorNeck`."""
    widths = [hid_channels] * num if isinstance(hid_channels, int) else list(hid_channels)
    _check(num, in_channels, widths, out_channels, num_layers, init, dropout)
    if len(set(widths)) > 1 and (shared_hidden or orthogonal):
        option = 'shared_hidden' if shared_hidden else 'orthogonal'
        raise ValueError(f'{option} needs projectors of the same width, got hid_channels = {widths}')
    if orthogonal and num > (smallest := min(in_channels, out_channels) * widths[0]):
        raise ValueError(f'{num} projectors with layers of {smallest} weights cannot be orthogonal')
    inits = [('kaiming', 'xavier')[m % 2] if init == 'mixed' else init for m in range(num)]
    settings: dict[str, Any] = dict(num_layers=num_layers, with_bn=with_bn, with_last_bn=with_last_bn, dropout=dropout)
    if len(set(widths)) == 1:
        return ParallelMLPs(
            num, in_channels, widths[0], out_channels, shared_hidden=shared_hidden, inits=inits, orthogonal=orthogonal,
            **settings,
        )  # fmt: skip
    return SeparateMLPs(
        ParallelMLPs(1, in_channels, width, out_channels, inits=inits[m : m + 1], **settings)
        for m, width in enumerate(widths)
    )


def _check(
    num: int, in_channels: int, widths: list[int], out_channels: int, num_layers: int, init: str, dropout: float
) -> None:
    for name, value, least in (
        ('num_projectors', num, 1),
        ('in_channels', in_channels, 1),
        ('hid_channels', min(widths, default=0), 1),
        ('out_channels', out_channels, 1),
        ('num_layers', num_layers, 2),
    ):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}')
    if len(widths) != num:
        raise ValueError(f'hid_channels must be one number or one a projector ({num}), got {widths}')
    if init not in INITS:
        raise ValueError(f'init must be one of {INITS}, got {init!r}')
    if not 0 <= dropout < 1:
        raise ValueError(f'dropout is a probability and must be in [0, 1), got {dropout}')

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins.functional import orthogonalize

INITS = ('default', 'kaiming', 'mixed')


@dataclass(frozen=True)
class MLPSettings:
    """How M parallel MLPs are built, whatever their widths. MPCL, Sec. III-A and Table II.

    Args:
        num_layers: Linear layers: 2, or 3 as in MoCo v3 on ViT and in Barlow Twins.
        with_bn: BN in the hidden layers; without it, as in MoCo v2's neck, the linear layers have biases.
        with_last_bn: BN without affine parameters on the output (MoCo v3).
        shared_hidden: One set of hidden layers for all MLPs, so that only the last layer exists M times. ``init`` and
            ``orthogonal`` then make only the last layers differ.
        init: ``default``: that of torch; ``kaiming``: He et al. 2015; ``mixed``: Kaiming and Xavier in turn (Table
            II).
        dropout: Probability of dropping a hidden unit in training (Table II), in the teacher too. Every MLP drops its
            own inputs of the last layer, also with shared hidden layers.
        orthogonal: Keep the M weights of each layer orthogonal to each other, as vectors (Table II, "Orth."; the paper
            does not specify how).

    Raises:
        ValueError: An argument is out of range.
    """

    num_layers: int = 2
    with_bn: bool = True
    with_last_bn: bool = False
    shared_hidden: bool = False
    init: str = 'default'
    dropout: float = 0.0
    orthogonal: bool = False

    def __post_init__(self) -> None:
        if self.num_layers < 2:
            raise ValueError(f'num_layers must be at least 2, got {self.num_layers}')
        if self.init not in INITS:
            raise ValueError(f'init must be one of {INITS}, got {self.init!r}')
        if not 0 <= self.dropout < 1:
            raise ValueError(f'dropout is a probability and must be in [0, 1), got {self.dropout}')


def build_mlps(
    num: int,
    in_channels: int,
    hid_channels: int | Sequence[int],
    out_channels: int,
    **settings: Any,
) -> nn.Module:
    """Build M MLPs, as one batched computation if their widths are equal.

    Args:
        num: Number of MLPs M.
        in_channels: Input channels.
        hid_channels: Hidden channels: one number for all MLPs, or one per MLP.
        out_channels: Output channels of each.
        settings: Arguments of :class:`MLPSettings`.

    Raises:
        ValueError: A width is below 1, there are not M widths, or a setting is unknown or needs equal widths.
    """
    known = [field.name for field in fields(MLPSettings)]
    if unknown := sorted(settings.keys() - set(known)):
        raise ValueError(f'unknown settings of an MLP: {", ".join(unknown)}; known are {", ".join(known)}')
    shape = MLPSettings(**settings)
    widths = [hid_channels] * num if isinstance(hid_channels, int) else list(hid_channels)
    _check_widths(num, in_channels, widths, out_channels, shape)
    inits = [('kaiming', 'xavier')[m % 2] if shape.init == 'mixed' else shape.init for m in range(num)]
    if len(set(widths)) == 1:
        return ParallelMLPs(num, in_channels, widths[0], out_channels, shape, inits)
    return SeparateMLPs(
        ParallelMLPs(1, in_channels, width, out_channels, shape, inits[m : m + 1]) for m, width in enumerate(widths)
    )


def _check_widths(num: int, in_channels: int, widths: list[int], out_channels: int, settings: MLPSettings) -> None:
    for name, value in (
        ('num_projectors', num),
        ('in_channels', in_channels),
        ('hid_channels', min(widths, default=0)),
        ('out_channels', out_channels),
    ):
        if value < 1:
            raise ValueError(f'{name} must be at least 1, got {value}')
    if len(widths) != num:
        raise ValueError(f'hid_channels must be one number or one per projector ({num}), got {widths}')
    if len(set(widths)) > 1 and (settings.shared_hidden or settings.orthogonal):
        option = 'shared_hidden' if settings.shared_hidden else 'orthogonal'
        raise ValueError(f'{option} needs projectors of the same width, got hid_channels = {widths}')
    if settings.orthogonal and num > (smallest := min(in_channels, out_channels) * widths[0]):
        raise ValueError(f'{num} projectors with layers of {smallest} weights cannot be orthogonal')


class ParallelLinear(nn.Module):
    """M linear maps as one product.

    Args:
        num: Number of maps M.
        in_channels: Input channels of each.
        out_channels: Output channels of each.
        bias: Whether they have biases.
        inits: Initialization of each map: ``default`` (of torch's linear layer), ``kaiming`` or ``xavier``.
        orthogonal: Use weights that are orthogonal to each other, see :func:`lewel_plugins.functional.orthogonalize`.
    """

    def __init__(
        self, num: int, in_channels: int, out_channels: int, bias: bool, inits: Sequence[str], orthogonal: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num, out_channels, in_channels))
        self.bias = nn.Parameter(torch.zeros(num, out_channels)) if bias else None
        self.orthogonal = orthogonal
        for m, init in enumerate(inits):
            self._initialize(m, init)

    def _initialize(self, m: int, init: str) -> None:
        weight = self.weight.data[m]
        if init == 'xavier':
            nn.init.xavier_uniform_(weight)
        elif init == 'kaiming':  # as in mmpretrain's Barlow Twins recipe
            nn.init.kaiming_uniform_(weight, mode='fan_out', nonlinearity='relu')
        else:
            bound = weight.shape[1] ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            if self.bias is not None:
                nn.init.uniform_(self.bias.data[m], -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in), shared by all maps, or (M, N, in), one input per map, to (M, N, out)."""
        weight = orthogonalize(self.weight) if self.orthogonal else self.weight  # (M, out, in)
        if x.dim() == 3:
            # The gradient of W x' has the layout of the weights. That of x W' is transposed, and autograd would copy it
            # for every projector.
            if self.bias is None:
                return torch.bmm(weight, x.mT).mT
            return torch.baddbmm(self.bias[..., None], weight, x.mT).mT
        bias = None if self.bias is None else self.bias.flatten()
        return F.linear(x, weight.flatten(0, 1), bias).unflatten(1, weight.shape[:2]).transpose(0, 1)


class ParallelMLPs(nn.Module):
    """M MLPs of the same widths as one computation: one product and one batch norm per layer, for any M.

    A hidden layer is linear, BN, ReLU; the last layer is linear, with BN on the output if ``with_last_bn``. A BN layer
    has the M·C channels of all MLPs, so that each MLP has its own statistics and parameters.

    The M weights of a layer are one parameter (M, out, in): LARS adapts them together.

    Args:
        num: Number of MLPs M.
        in_channels: Input channels.
        hid_channels: Channels of the hidden layers of each.
        out_channels: Output channels of each.
        settings: All other settings.
        inits: Initialization of each MLP's weights, see :class:`ParallelLinear`.
    """

    def __init__(
        self,
        num: int,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        settings: MLPSettings,
        inits: Sequence[str],
    ) -> None:
        super().__init__()
        self.num, self.num_layers = num, settings.num_layers
        num_layers = settings.num_layers
        widths = [in_channels, *[hid_channels] * (num_layers - 1), out_channels]
        for i in range(num_layers):
            last = i + 1 == num_layers
            copies = 1 if settings.shared_hidden and not last else num
            bias = not settings.with_bn
            linear = ParallelLinear(copies, widths[i], widths[i + 1], bias, inits[:copies], settings.orthogonal)
            self.add_module(f'fc{i}', linear)
            if settings.with_last_bn if last else settings.with_bn:
                self.add_module(f'bn{i}', nn.BatchNorm1d(copies * widths[i + 1], affine=not last))
        self.drop = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in), shared by all MLPs, or (M, N, in), one input per MLP, to (M, N, out)."""
        for i in range(self.num_layers):
            x = getattr(self, f'fc{i}')(x)
            norm = getattr(self, f'bn{i}', None)
            if norm is not None:
                M, _, C = x.shape
                x = norm(x.transpose(0, 1).flatten(1)).unflatten(1, (M, C)).transpose(0, 1)
            if i + 1 < self.num_layers:
                x = x.relu()
                if self.drop.p and i + 2 == self.num_layers:
                    x = x.expand(self.num, -1, -1)
                x = self.drop(x)
                x = x[0] if len(x) == 1 else x  # shared hidden layers, or M = 1
        return x


class SeparateMLPs(nn.ModuleList):
    """MLPs of different widths, computed one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in), shared by all MLPs, or (M, N, in), one input per MLP, to (M, N, out)."""
        return torch.cat([mlp(x[m] if x.dim() == 3 else x) for m, mlp in enumerate(self)])

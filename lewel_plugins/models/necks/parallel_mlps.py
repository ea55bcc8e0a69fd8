from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lewel_plugins.functional import orthogonalize

INITS = ('default', 'kaiming', 'mixed')


class ParallelLinear(nn.Module):
    """M linear maps as one product.

    Args:
        num: Number of maps M.
        in_channels: Input channels of each.
        out_channels: Output channels of each.
        bias: Whether they have biases.
        inits: ``default`` (torch's for a linear layer), ``kaiming`` or ``xavier`` for every map.
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
            self._initialise(m, init)

    def _initialise(self, m: int, init: str) -> None:
        weight = self.weight.data[m]
        if init == 'xavier':
            nn.init.xavier_uniform_(weight)
        elif init == 'kaiming':  # as mmpretrain's Barlow Twins recipe has it
            nn.init.kaiming_uniform_(weight, mode='fan_out', nonlinearity='relu')
        else:
            bound = weight.shape[1] ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            if self.bias is not None:
                nn.init.uniform_(self.bias.data[m], -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) for all maps, or (M, N, in) with an input for each → (M, N, out)."""
        weight = orthogonalize(self.weight) if self.orthogonal else self.weight  # (M, out, in)
        if x.dim() == 3:
            # W x', not x W': the gradient then has the layout of the weights. The other's is a transpose of it, and
            # autograd would copy it for every projector.
            if self.bias is None:
                return torch.bmm(weight, x.mT).mT
            return torch.baddbmm(self.bias[..., None], weight, x.mT).mT
        bias = None if self.bias is None else self.bias.flatten()
        return F.linear(x, weight.flatten(0, 1), bias).unflatten(1, weight.shape[:2]).transpose(0, 1)


class ParallelMLPs(nn.Module):
    """M MLPs of the same widths as one computation: a product and a batch norm a layer, whatever M is.

    A layer is linear, BN, ReLU; the last is linear, and BN without affine parameters if asked for. The BN layers are
    over the M·C channels of all MLPs, so that each MLP has statistics and parameters of its own. Linear layers have
    biases where no BN follows in the hidden layers (MoCo v2's neck), and none otherwise.

    A layer's M weights are one parameter (M, out, in): LARS adapts them together.

    Args:
        num: Number of MLPs M.
        in_channels: Input channels.
        hid_channels: Channels of the hidden layers of each.
        out_channels: Output channels of each.
        num_layers: Linear layers, at least 2.
        with_bn: BN in the hidden layers.
        with_last_bn: BN on the output.
        shared_hidden: One set of hidden layers for all; only the last layer is M-fold.
        inits: Initialisation of every MLP's weights, see :class:`ParallelLinear`.
        dropout: Probability that a hidden unit is dropped in training, each MLP's on its own.
        orthogonal: Keep the M weights of every layer orthogonal to each other.
    """

    def __init__(
        self,
        num: int,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        num_layers: int = 2,
        with_bn: bool = True,
        with_last_bn: bool = False,
        shared_hidden: bool = False,
        inits: Sequence[str] = (),
        dropout: float = 0.0,
        orthogonal: bool = False,
    ) -> None:
        super().__init__()
        inits = inits or ('default',) * num
        widths = [in_channels, *[hid_channels] * (num_layers - 1), out_channels]
        self.num_layers = num_layers
        for i in range(num_layers):
            last = i + 1 == num_layers
            copies = 1 if shared_hidden and not last else num
            linear = ParallelLinear(copies, widths[i], widths[i + 1], not with_bn, inits[:copies], orthogonal)
            self.add_module(f'fc{i}', linear)
            if with_last_bn if last else with_bn:
                self.add_module(f'bn{i}', nn.BatchNorm1d(copies * widths[i + 1], affine=not last))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) for all MLPs, or (M, N, in) with an input for each → (M, N, out)."""
        for i in range(self.num_layers):
            x = getattr(self, f'fc{i}')(x)
            norm = getattr(self, f'bn{i}', None)
            if norm is not None:
                M, _, C = x.shape
                x = norm(x.transpose(0, 1).flatten(1)).unflatten(1, (M, C)).transpose(0, 1)
            if i + 1 < self.num_layers:
                x = self.drop(x.relu())
                x = x[0] if len(x) == 1 else x  # shared hidden layers, or M = 1
        return x


class SeparateMLPs(nn.ModuleList):
    """MLPs that differ in width, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, in) for all MLPs, or (M, N, in) with an input for each → (M, N, out)."""
        return torch.cat([mlp(x[m] if x.dim() == 3 else x) for m, mlp in enumerate(self)])

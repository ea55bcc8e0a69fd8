from collections.abc import Callable

import torch
from torch import Tensor, nn

from .standardized_linear import StandardizedLinear

NORMS = dict(BN=nn.BatchNorm1d, LN=nn.LayerNorm)
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = dict(relu=lambda: nn.ReLU(inplace=True), gelu=nn.GELU)


class MLP(nn.Sequential):
    """Projector or predictor: linear, BN, ReLU, linear, without biases. LEWEL, Sec. 3.3; SMoG, Sec. 3.4.

    Args:
        in_channels: Input channels.
        hid_channels: Channels of the hidden layer.
        out_channels: Output channels.
        norm: ``BN``, or ``LN`` for layer normalization in its place (MSBReg, Table 6).
        standardize: Whether both linear layers are :class:`StandardizedLinear`.
        activation: ``relu`` or ``gelu``.
        out_norm: Whether the output is normalized too.

    Raises:
        ValueError: A width below 1, or an unknown norm or activation.
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
        for name, value in (
            ('in_channels', in_channels),
            ('hid_channels', hid_channels),
            ('out_channels', out_channels),
        ):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        for name, choice, known in (('norm', norm, NORMS), ('activation', activation, ACTIVATIONS)):
            if choice not in known:
                raise ValueError(f'{name} must be one of {tuple(known)}, got {choice!r}')
        linear = StandardizedLinear if standardize else nn.Linear
        super().__init__(
            linear(in_channels, hid_channels, bias=False),
            NORMS[norm](hid_channels),
            ACTIVATIONS[activation](),
            linear(hid_channels, out_channels, bias=False),
            *([NORMS[norm](out_channels)] if out_norm else []),
        )

    def forward(self, x: Tensor, common: Tensor | None = None) -> Tensor:
        """Map (…, in_channels) to (…, out_channels); BN's statistics are over all leading dimensions.

        Args:
            x: Input, or with ``common`` its difference from it.
            common: What the K rows of an image have in common, (N, 1, in_channels) in the dtype of the weights, with x
                (N, K, in_channels). The result is that of x + common, in the dtype of the weights also under autocast.
                It serves rows that are nearly equal, of which float16 or bfloat16 would round most of the difference.
        """
        if common is not None:
            return self._forward_of_sum(x, common)
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

    def _forward_of_sum(self, x: Tensor, common: Tensor) -> Tensor:
        first, norm, activation, last, *out_norm = self
        # Rounding the common part would move all rows of an image alike, past the zero of units that only some of them
        # activate. It has 1/K of the products, so float32 costs little.
        with torch.autocast(x.device.type, enabled=False):
            h_common = first(common)
        h = first(x) + h_common  # (N, K, hid_channels)
        h = activation(norm(h.flatten(0, 1))).unflatten(0, x.shape[:2])
        mean = h.mean(1, keepdim=True)
        y = last(h - mean) + last(mean).to(h.dtype)
        return out_norm[0](y.flatten(0, 1)).unflatten(0, x.shape[:2]) if out_norm else y


def in_low_precision(x: Tensor) -> bool:
    """Return whether autocast is on for the device of a tensor, so that linear layers round to float16 or bfloat16."""
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.is_autocast_enabled(x.device.type)
    # torch before 2.4, whose functions are per device
    return torch.is_autocast_cpu_enabled() if x.device.type == 'cpu' else torch.is_autocast_enabled()

from collections.abc import Callable

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

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, in_channels) to (…, out_channels); BN's statistics are over all leading dimensions."""
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

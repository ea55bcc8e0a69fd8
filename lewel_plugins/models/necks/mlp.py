from torch import Tensor, nn

from .standardized_linear import StandardizedLinear

NORMS = dict(BN=nn.BatchNorm1d, LN=nn.LayerNorm)


class MLP(nn.Sequential):
    """Projector or predictor: linear, BN, ReLU, linear. No bias, no BN on the output. LEWEL, Sec. 3.3.

    Args:
        in_channels: Input channels.
        hid_channels: Channels of the hidden layer.
        out_channels: Output channels.
        norm: ``BN``, or ``LN`` for layer normalisation in its place (MSBReg, Table 6).
        standardize: Whether both linear layers are :class:`StandardizedLinear`.

    Raises:
        ValueError: A width below 1, or an unknown norm.
    """

    def __init__(
        self, in_channels: int, hid_channels: int, out_channels: int, norm: str = 'BN', standardize: bool = False
    ) -> None:
        for name, value in (
            ('in_channels', in_channels),
            ('hid_channels', hid_channels),
            ('out_channels', out_channels),
        ):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        if norm not in NORMS:
            raise ValueError(f'norm must be one of {tuple(NORMS)}, got {norm!r}')
        linear = StandardizedLinear if standardize else nn.Linear
        super().__init__(
            linear(in_channels, hid_channels, bias=False),
            NORMS[norm](hid_channels),
            nn.ReLU(inplace=True),
            linear(hid_channels, out_channels, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_channels) → (…, out_channels); BN's statistics are over all leading dimensions."""
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

from collections.abc import Callable

from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = dict(relu=lambda: nn.ReLU(inplace=True), gelu=nn.GELU)


class MLP(nn.Sequential):
    """Projector or predictor: linear, BN, ReLU, linear, without bias. LEWEL, Sec. 3.3; SMoG, Sec. 3.4.

    Args:
        in_channels: Input channels.
        hid_channels: Channels of the hidden layer.
        out_channels: Output channels.
        activation: ``relu`` or ``gelu``.
        out_norm: BN on the output too.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
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
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation must be one of {tuple(ACTIVATIONS)}, got {activation!r}')
        super().__init__(
            nn.Linear(in_channels, hid_channels, bias=False),
            nn.BatchNorm1d(hid_channels),
            ACTIVATIONS[activation](),
            nn.Linear(hid_channels, out_channels, bias=False),
            *([nn.BatchNorm1d(out_channels)] if out_norm else []),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_channels) → (…, out_channels); BN's statistics are over all leading dimensions."""
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

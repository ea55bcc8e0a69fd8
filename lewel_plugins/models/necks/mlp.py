from torch import Tensor, nn


class MLP(nn.Sequential):
    """Projector or predictor: linear, BN, ReLU, linear. No bias, no BN on the output. LEWEL, Sec. 3.3.

    Args:
        in_channels: Input channels.
        hid_channels: Channels of the hidden layer.
        out_channels: Output channels.
    """

    def __init__(self, in_channels: int, hid_channels: int, out_channels: int) -> None:
        for name, value in (
            ('in_channels', in_channels),
            ('hid_channels', hid_channels),
            ('out_channels', out_channels),
        ):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        super().__init__(
            nn.Linear(in_channels, hid_channels, bias=False),
            nn.BatchNorm1d(hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, out_channels, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(…, in_channels) → (…, out_channels); BN's statistics are over all leading dimensions."""
        return super().forward(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

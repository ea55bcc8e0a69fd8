"""What `report_verdicts.py` breaks in a training, in a module that its configs import."""

import time

from torch import nn

from lewel_plugins.models.heads import LEWELPredictHead
from lewel_plugins.registry import MODELS, TRANSFORMS
from lewel_plugins.transforms import LoadViews

SECONDS = 0.04  # that a file takes to arrive


@MODELS.register_module()
class NoPredictorHead(LEWELPredictHead):
    """LEWEL_B's head without its predictors."""

    def __init__(self, in_channels: int, aligned_channels: int, hid_channels: int = 4096, beta: float = 0.5) -> None:
        super().__init__(in_channels, aligned_channels, hid_channels, beta)
        self.q = self.s = nn.Identity()  # type: ignore[assignment]


@TRANSFORMS.register_module()
class SlowLoadViews(LoadViews):
    """:class:`LoadViews` of files that take :data:`SECONDS` to arrive, as from a slow disk."""

    def transform(self, results: dict) -> dict:
        """Wait, and load."""
        time.sleep(SECONDS)
        return super().transform(results)

from typing import Any

from mmengine.model import ExponentialMovingAverage
from mmpretrain.models.selfsup import BYOL
from torch import nn

from lewel_plugins.registry import MODELS


@MODELS.register_module()
class ConstantBYOL(BYOL):
    """mmpretrain's BYOL with a teacher of constant momentum, as in lightly's benchmarks, instead of a cosine to 1.

    Args:
        base_momentum: 1 − α of the teacher.
        **kwargs: Other arguments of mmpretrain's class.
    """

    def __init__(self, base_momentum: float, **kwargs: Any) -> None:
        super().__init__(base_momentum=base_momentum, **kwargs)
        self.target_net = ExponentialMovingAverage(nn.Sequential(self.backbone, self.neck), momentum=base_momentum)

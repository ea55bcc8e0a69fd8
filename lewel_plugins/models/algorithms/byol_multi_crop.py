import torch
from torch import Tensor

from lewel_plugins.functional import multi_crop_loss
from lewel_plugins.registry import MODELS

from ..necks.mlp import MLP
from .base import MomentumPretrainer

LARGE = 2


@MODELS.register_module()
class BYOLMultiCrop(MomentumPretrainer):
    """BYOL with multi-crop, which MSBReg is compared with: MSBReg, Sec. 4.4.

    The first two views are large and go through the teacher; those after them are small and go through the online
    network alone. With no small view it is BYOL.

    Args:
        backbone: Config of the backbone, any of mmpretrain's.
        neck: Config of a :class:`ProjectionNeck`; the predictor has its norm and standardisation.
        hid_channels: Hidden channels of the predictor.
        momentum: Teacher's 1 − α at the start; a cosine takes it to 0.
        pretrained: Checkpoint to initialise from.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: As everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        hid_channels: int = 2048,
        momentum: float = 0.004,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, momentum, 0.0, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        d = self.neck.out_channels
        self.predictor = MLP(d, hid_channels, d, self.neck.norm, self.neck.standardize)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """All ordered pairs of a view and another large one.

        Args:
            inputs: Two large views (N, 3, H, W), then any number of small ones (N, 3, h, w).
            data_samples: Unused.

        Returns:
            ``loss``: summed over the pairs, averaged over the images.

        Raises:
            ValueError: The first two views are not the large ones.
        """
        views = self.views(inputs, LARGE, or_more=True)
        sizes = [tuple(x.shape[2:]) for x in views]
        if sizes[0] != sizes[1] or any(h > sizes[0][0] or w > sizes[0][1] for h, w in sizes):
            raise ValueError(
                f'BYOLMultiCrop takes two large views first, of one size, and then small ones, got {sizes}'
            )
        z = self.teacher.each_view(views[:LARGE])  # (2, N, d), without gradient
        p = torch.stack([self.predictor(self.neck(self.backbone(x))) for x in views])  # (V + 2, N, d)
        return dict(loss=multi_crop_loss(p, z))

from torch import Tensor

from lewel_plugins.registry import MODELS

from ..batch_norm import use_view_batch_norm
from ..heads.byol_multi_crop_head import LARGE
from .base import MomentumPretrainer


@MODELS.register_module()
class BYOLMultiCrop(MomentumPretrainer):
    """BYOL with multi-crop, a baseline of the MSBReg paper. MSBReg, Sec. 4.4.

    The first two views are large, the others small. All go through the online network. All go through the teacher as
    well, since in the paper small views are targets, too; with ``head.targets='large'`` only the large ones do. Batch
    norm has its statistics per view, and its running statistics, which evaluation uses, average over all views. On GPUs
    and on several ranks, views of one size go through the networks together, see :func:`embed_views`. Without small
    views this is BYOL with its symmetric loss.

    Equations:
        MSBReg, Eq. 1 and Sec. 4.4: ``multi_crop_loss`` in functional/msbreg.py.
        MSBReg, Sec. 3.1: ``MomentumEncoder.update`` in models/momentum_encoder.py.
        BYOL, Sec. 3.3: ``MomentumEncoder.momentum_at`` in models/momentum_encoder.py.

    Args:
        backbone: Config of the backbone, any that mmpretrain can build.
        neck: Config of a :class:`ProjectionNeck`.
        head: Config of a :class:`BYOLMultiCropHead`.
        momentum: 1 − α of the teacher at the start of a cosine schedule to 0.
        data_preprocessor: Config of the data preprocessor.
        init_cfg: Initialization, as everywhere in mmengine.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        momentum: float = 0.004,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(backbone, neck, head, momentum, 0.0, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        use_view_batch_norm(self)

    def loss(self, inputs: list[Tensor], data_samples: list | None = None) -> dict[str, Tensor]:
        """Predict the teacher's embedding of every target from every other view. MSBReg, Sec. 4.4.

        Args:
            inputs: Two large views (N, 3, H, W), then any number of small ones (N, 3, h, w).
            data_samples: Unused.

        Returns:
            ``loss``: summed over the pairs, averaged over the images.

        Raises:
            ValueError: The first two views are not the large ones.
        """
        views = self.views(inputs, LARGE, or_more=True)
        _check_sizes(views)
        z_t = self.teacher.each_view(self.head.target_views(views))  # (T, N, d), without gradient
        z = self.embed(views)  # V + 2 times (N, d)
        return self.head.loss(z, z_t)


def _check_sizes(views: list[Tensor]) -> None:
    sizes = [tuple(x.shape[2:]) for x in views]
    if sizes[0] != sizes[1] or any(h > sizes[0][0] or w > sizes[0][1] for h, w in sizes):
        raise ValueError(f'BYOLMultiCrop takes two large views first, of one size, and then small ones, got {sizes}')

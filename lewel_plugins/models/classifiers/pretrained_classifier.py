import torch
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmpretrain.models import ImageClassifier
from torch import Tensor, nn

from lewel_plugins.checkpoints import (
    backbone_config,
    build_backbone,
    check_normalization,
    load_backbone,
    read_pretrained,
    read_tensors,
)
from lewel_plugins.errors import SetupError
from lewel_plugins.models.features import pooled
from lewel_plugins.registry import MODELS


@MODELS.register_module()
class PretrainedClassifier(ImageClassifier):
    """mmpretrain's classifier on the backbone of a pretraining checkpoint.

    Either every tensor of the backbone is loaded, or the run fails before it starts and lists what is missing. It also
    fails if images are not normalized as in pretraining; if the checkpoint does not record how, a warning is logged.
    The head gets the features that k-NN measures: the last output of the backbone, averaged over positions if it is a
    map, in float32.

    Args:
        checkpoint: Checkpoint of a pretraining, or an export of its backbone; None starts from random weights.
        head: Config of the head; ``in_channels`` is the width of the backbone by default.
        backbone: Config of the backbone; None for the one in the checkpoint.
        frozen: True for linear evaluation: the backbone has no gradient and stays in eval mode, so that BN uses its
            running statistics. False trains all of its parameters (only the later ones if it has ``frozen_stages``),
            including MoCo v3's patch embedding and positions, which are fixed in pretraining.
        data_preprocessor: Config; mmpretrain's ``ClsDataPreprocessor`` by default. One that makes a list of one view
            (``BatchViews``) works as well.

    Raises:
        SetupError: There is no checkpoint; or, from ``init_weights``, it does not fit, or its images were normalized
            otherwise.
    """

    def __init__(
        self,
        checkpoint: str | None,
        head: dict,
        backbone: dict | None = None,
        frozen: bool = True,
        data_preprocessor: dict | None = None,
    ) -> None:
        if checkpoint == '' or (checkpoint is None and backbone is None):
            raise SetupError(
                'no checkpoint to evaluate: name one by model.checkpoint, or set model.checkpoint=None and '
                'model.backbone for random weights'
            )
        if backbone is None:
            backbone = backbone_config(read_tensors(str(checkpoint)), str(checkpoint))
        built = build_backbone(backbone, checkpoint or 'the config')
        super().__init__(
            backbone=built,
            head={'in_channels': feature_width(built), **head},
            # Built here, because ImageClassifier passes arguments of its own to any type.
            data_preprocessor=MMENGINE_MODELS.build({'type': 'ClsDataPreprocessor', **(data_preprocessor or {})}),
        )
        self.checkpoint = checkpoint
        self.frozen = frozen
        self._set_requires_grad()

    def init_weights(self) -> None:
        """Initialize the head, and load the backbone."""
        super().init_weights()
        self._set_requires_grad()  # because MoCo v3's ViT has just stopped the gradient of its positions
        if self.checkpoint is not None:
            load_backbone(self.backbone, self.checkpoint)
            check_normalization(read_pretrained(self.checkpoint)[0], self.checkpoint, self)

    def _set_requires_grad(self) -> None:
        if self.frozen or getattr(self.backbone, 'frozen_stages', -1) < 0:
            self.backbone.requires_grad_(not self.frozen)

    def train(self, mode: bool = True) -> 'PretrainedClassifier':
        """Switch to training; a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def extract_feat(self, inputs: Tensor | list[Tensor], stage: str = 'neck') -> tuple[Tensor, ...]:
        """Return the features of images.

        Args:
            inputs: Images (N, 3, H, W), or a list of one view.
            stage: ``backbone`` for its outputs as they are; otherwise the input of the head.

        Returns:
            A tuple whose last entry is (N, D) float32, or the backbone's outputs.

        Raises:
            ValueError: There are several views.
        """
        if isinstance(inputs, (list, tuple)):
            if len(inputs) != 1:
                raise ValueError(f'a classifier takes one view of an image, got {len(inputs)}')
            inputs = inputs[0]
        out = self.backbone(inputs)
        return out if stage == 'backbone' else (pooled(out),)


@torch.no_grad()
def feature_width(backbone: nn.Module) -> int:
    """Return the number of features D of a backbone, from an image of zeros. The backbone stays as it is."""
    size = getattr(backbone, 'img_size', 64)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    was_training = backbone.training
    backbone.eval()
    features = pooled(backbone(torch.zeros(1, 3, height, width)))
    backbone.train(was_training)
    return features.shape[1]

from mmpretrain.models.backbones import ResNet
from mmpretrain.models.backbones.resnet import BasicBlock

from lewel_plugins.registry import MODELS


@MODELS.register_module()
class ResNet10(ResNet):
    """mmpretrain's ResNet with one basic block a stage: what a laptop trains on small images in minutes.

    Takes all arguments of mmpretrain's ``ResNet`` but ``depth``. The defaults suit 32 px: stem and pooling divide by
    4, so that with ``strides=(1, 2, 1, 1)`` the last map is 4 × 4.

    Args:
        base_channels: Width of the first stage; the last has eight times that.
        strides: Stride of each stage.
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(self, base_channels: int = 16, strides: tuple[int, ...] = (1, 2, 1, 1)) -> None:
        super().__init__(depth=10, stem_channels=base_channels, base_channels=base_channels, strides=strides)

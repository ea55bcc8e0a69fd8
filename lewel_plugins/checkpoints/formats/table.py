"""The formats that each family of backbones has."""

from mmpretrain.models.backbones import ResNet, SwinTransformer, TIMMBackbone, VisionTransformer
from torch import nn

from lewel_plugins.errors import SetupError

from .base import Format
from .resnet import RESNET_FORMATS
from .swin import SWIN_FORMATS
from .timm_backbone import TIMM_FORMATS
from .vit import VIT_FORMATS

FORMATS: dict[type[nn.Module], dict[str, Format]] = {
    ResNet: RESNET_FORMATS,
    VisionTransformer: VIT_FORMATS,
    SwinTransformer: SWIN_FORMATS,
    TIMMBackbone: TIMM_FORMATS,
}


def find_format(backbone: nn.Module, library: str) -> Format:
    """Return the format of a backbone in a library.

    Raises:
        SetupError: The library has no equivalent. Names the architecture and what is accepted.
    """
    for family, formats in FORMATS.items():
        if isinstance(backbone, family):
            if library not in formats:
                raise SetupError(
                    f'{library} has no equivalent of {type(backbone).__name__}: accepted are {", ".join(formats)}'
                )
            try:
                formats[library].require(backbone)
            except SetupError as error:
                raise SetupError(f'--to {library}: {error}') from None
            return formats[library]
    names = ', '.join(family.__name__ for family in FORMATS)
    raise SetupError(f'{type(backbone).__name__} has no equivalent in another library: accepted are {names}')

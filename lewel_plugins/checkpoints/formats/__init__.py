"""Backbones in the formats of other libraries: torchvision, timm, mmdet, detectron2."""

from .base import Format
from .name_map import NameMap
from .resnet import RESNET_FORMATS
from .swin import SWIN_FORMATS
from .table import FORMATS, find_format
from .timm_backbone import TIMM_FORMATS
from .vit import VIT_FORMATS

__all__ = [
    'FORMATS',
    'RESNET_FORMATS',
    'SWIN_FORMATS',
    'TIMM_FORMATS',
    'VIT_FORMATS',
    'Format',
    'NameMap',
    'find_format',
]

from .base import MomentumPretrainer
from .byol_multi_crop import BYOLMultiCrop
from .lewel_b import LEWELB
from .lewel_m import LEWELM
from .msbreg import MSBReg

__all__ = ['LEWELB', 'LEWELM', 'BYOLMultiCrop', 'MSBReg', 'MomentumPretrainer']

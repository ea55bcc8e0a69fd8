from .base import MomentumPretrainer
from .byol_multi_crop import BYOLMultiCrop
from .lewel_b import LEWELB
from .lewel_m import LEWELM
from .mpcl_barlow_twins import MPCLBarlowTwins
from .mpcl_moco import MPCLMoCo
from .mpcl_moco_v3 import MPCLMoCoV3
from .msbreg import MSBReg
from .smog import SMoG

__all__ = [
    'LEWELB',
    'LEWELM',
    'BYOLMultiCrop',
    'MPCLBarlowTwins',
    'MPCLMoCo',
    'MPCLMoCoV3',
    'MSBReg',
    'MomentumPretrainer',
    'SMoG',
]

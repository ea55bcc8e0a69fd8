from .base import MomentumPretrainer
from .lewel_b import LEWELB
from .lewel_m import LEWELM
from .mpcl_barlow_twins import MPCLBarlowTwins
from .mpcl_moco import MPCLMoCo
from .mpcl_moco_v3 import MPCLMoCoV3

__all__ = ['LEWELB', 'LEWELM', 'MPCLBarlowTwins', 'MPCLMoCo', 'MPCLMoCoV3', 'MomentumPretrainer']

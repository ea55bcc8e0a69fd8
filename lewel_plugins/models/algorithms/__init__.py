from .base import MomentumPretrainer
from .lewel_b import LEWELB
from .lewel_m import LEWELM
from .smog import SMoG

__all__ = ['LEWELB', 'LEWELM', 'MomentumPretrainer', 'SMoG']

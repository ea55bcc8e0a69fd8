from .base import MomentumPretrainer
from .lewel_b import LEWELB
from .lewel_m import LEWELM

__all__ = ['LEWELB', 'LEWELM', 'MomentumPretrainer']

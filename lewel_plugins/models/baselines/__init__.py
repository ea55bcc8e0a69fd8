"""mmpretrain's algorithms in settings of other benchmarks that its arguments do not reach."""

from .constant_byol import ConstantBYOL
from .symmetric_moco import SymmetricMoCo

__all__ = ['ConstantBYOL', 'SymmetricMoCo']

from .lewel_neck import LEWELNeck
from .mlp import MLP
from .multi_projector_neck import MultiProjectorNeck

__all__ = ['MLP', 'LEWELNeck', 'MultiProjectorNeck']

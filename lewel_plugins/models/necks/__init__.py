from .lewel_neck import LEWELNeck
from .mlp import MLP
from .multi_projector_neck import MultiProjectorNeck
from .projection_neck import ProjectionNeck
from .standardized_linear import StandardizedLinear

__all__ = ['MLP', 'LEWELNeck', 'MultiProjectorNeck', 'ProjectionNeck', 'StandardizedLinear']

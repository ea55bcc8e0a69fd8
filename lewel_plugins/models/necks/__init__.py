from .lewel_neck import LEWELNeck
from .mlp import MLP
from .projection_neck import ProjectionNeck
from .standardized_linear import StandardizedLinear

__all__ = ['MLP', 'LEWELNeck', 'ProjectionNeck', 'StandardizedLinear']

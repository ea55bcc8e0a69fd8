from .lewel_neck import LEWELNeck
from .mlp import MLP

__all__ = ['MLP', 'LEWELNeck']

from .lewel_neck import LEWELNeck
from .mlp import MLP
from .smog_neck import SMoGNeck

__all__ = ['MLP', 'LEWELNeck', 'SMoGNeck']

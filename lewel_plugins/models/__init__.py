from .algorithms import LEWELB, LEWELM, MomentumPretrainer
from .backbones import ResNet10
from .data_preprocessors import BatchViews
from .key_queue import KeyQueue
from .momentum_encoder import MomentumEncoder
from .necks import MLP, LEWELNeck

__all__ = [
    'LEWELB',
    'LEWELM',
    'MLP',
    'BatchViews',
    'KeyQueue',
    'LEWELNeck',
    'MomentumEncoder',
    'MomentumPretrainer',
    'ResNet10',
]

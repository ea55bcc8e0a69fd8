from .algorithms import LEWELB, LEWELM, MomentumPretrainer, SMoG
from .backbones import ResNet10
from .data_preprocessors import BatchViews
from .feature_cache import FeatureCache
from .key_queue import KeyQueue
from .momentum_encoder import MomentumEncoder
from .necks import MLP, LEWELNeck, SMoGNeck

__all__ = [
    'LEWELB',
    'LEWELM',
    'MLP',
    'BatchViews',
    'FeatureCache',
    'KeyQueue',
    'LEWELNeck',
    'MomentumEncoder',
    'MomentumPretrainer',
    'ResNet10',
    'SMoG',
    'SMoGNeck',
]

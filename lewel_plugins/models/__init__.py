from .algorithms import LEWELB, LEWELM, BYOLMultiCrop, MomentumPretrainer, MSBReg
from .backbones import ResNet10
from .data_preprocessors import BatchViews
from .key_queue import KeyQueue
from .losses import BrownianLoss, SingularValueLoss, UniformityLoss
from .momentum_encoder import MomentumEncoder
from .necks import MLP, LEWELNeck, ProjectionNeck, StandardizedLinear

__all__ = [
    'LEWELB',
    'LEWELM',
    'MLP',
    'BYOLMultiCrop',
    'BatchViews',
    'BrownianLoss',
    'KeyQueue',
    'LEWELNeck',
    'MSBReg',
    'MomentumEncoder',
    'MomentumPretrainer',
    'ProjectionNeck',
    'ResNet10',
    'SingularValueLoss',
    'StandardizedLinear',
    'UniformityLoss',
]

from .algorithms import LEWELB, LEWELM, MomentumPretrainer, MPCLBarlowTwins, MPCLMoCo, MPCLMoCoV3
from .backbones import ResNet10
from .data_preprocessors import BatchViews
from .key_queue import KeyQueue
from .momentum_encoder import MomentumEncoder
from .necks import MLP, LEWELNeck, MultiProjectorNeck
from .projector_balance import ProjectorBalance

__all__ = [
    'LEWELB',
    'LEWELM',
    'MLP',
    'BatchViews',
    'KeyQueue',
    'LEWELNeck',
    'MPCLBarlowTwins',
    'MPCLMoCo',
    'MPCLMoCoV3',
    'MomentumEncoder',
    'MomentumPretrainer',
    'MultiProjectorNeck',
    'ProjectorBalance',
    'ResNet10',
]

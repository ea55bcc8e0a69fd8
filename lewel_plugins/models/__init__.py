from .algorithms import LEWELB, LEWELM, MomentumPretrainer
from .key_queue import KeyQueue
from .momentum_encoder import MomentumEncoder
from .necks import MLP, LEWELNeck

__all__ = ['LEWELB', 'LEWELM', 'MLP', 'KeyQueue', 'LEWELNeck', 'MomentumEncoder', 'MomentumPretrainer']

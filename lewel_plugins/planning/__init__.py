"""From a folder of images to a config: facts, and one pure function that derives every setting from them."""

from .facts import GPU, Facts, Folder, Machine, Memory, Weights
from .methods import METHODS, Method, find_method
from .plan import Plan, Setting, plan
from .request import Request

__all__ = [
    'GPU',
    'METHODS',
    'Facts',
    'Folder',
    'Machine',
    'Memory',
    'Method',
    'Plan',
    'Request',
    'Setting',
    'Weights',
    'find_method',
    'plan',
]

"""From a folder of images to a config: facts, and one pure function that derives every setting from them."""

from .facts import GPU, Facts, Folder, Machine, Memory, Weights
from .methods import METHODS, Method, find_method
from .plan import Plan, plan
from .request import Request
from .settings import Setting, Settings

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
    'Settings',
    'Weights',
    'find_method',
    'plan',
]

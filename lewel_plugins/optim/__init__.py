from .lars import LARS
from .typed_optim_wrapper_constructor import TypedOptimWrapperConstructor

__all__ = ['LARS', 'TypedOptimWrapperConstructor']

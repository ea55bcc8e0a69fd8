from .momentum_update_hook import MomentumUpdateHook
from .reproducibility_hook import ReproducibilityHook

__all__ = ['MomentumUpdateHook', 'ReproducibilityHook']

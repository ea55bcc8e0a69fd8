from .atomic_checkpoint_hook import AtomicCheckpointHook
from .broken_image_hook import BrokenImageHook
from .momentum_update_hook import MomentumUpdateHook
from .non_finite_hook import NonFiniteHook
from .representation_monitor_hook import CollapseError, RepresentationMonitorHook
from .reproducibility_hook import ReproducibilityHook
from .smog_reset_hook import SMoGResetHook

__all__ = [
    'AtomicCheckpointHook',
    'BrokenImageHook',
    'CollapseError',
    'MomentumUpdateHook',
    'NonFiniteHook',
    'RepresentationMonitorHook',
    'ReproducibilityHook',
    'SMoGResetHook',
]

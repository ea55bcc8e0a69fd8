from lewel_plugins.running.work_dir import STOPPED_STATUS

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .broken_image_hook import BrokenImageHook
from .deferred_runtime_info_hook import DeferredRuntimeInfoHook
from .momentum_update_hook import MomentumUpdateHook
from .mpcl_reweight_hook import MPCLReweightHook
from .non_finite_hook import NonFiniteHook
from .preemption_hook import PreemptionHook, StoppedRun
from .regularizer_hook import RegularizerHook
from .representation_monitor_hook import CollapseError, RepresentationMonitorHook
from .reproducibility_hook import ReproducibilityHook
from .smog_reset_hook import SMoGResetHook
from .strict_pretrained_hook import StrictPretrainedHook

__all__ = [
    'AtomicCheckpointHook',
    'BrokenImageHook',
    'CollapseError',
    'DeferredRuntimeInfoHook',
    'MPCLReweightHook',
    'STOPPED_STATUS',
    'MomentumUpdateHook',
    'NonFiniteHook',
    'PreemptionHook',
    'RegularizerHook',
    'RepresentationMonitorHook',
    'ReproducibilityHook',
    'SMoGResetHook',
    'StoppedRun',
    'StrictPretrainedHook',
]

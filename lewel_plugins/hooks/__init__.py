from lewel_plugins.running.work_dir import STOPPED_STATUS

from .atomic_checkpoint_hook import AtomicCheckpointHook
from .broken_image_hook import BrokenImageHook
from .continuous_loader_hook import ContinuousLoaderHook
from .deferred_runtime_info_hook import DeferredRuntimeInfoHook
from .frozen_backbone_hook import FrozenBackboneHook
from .initial_validation_hook import InitialValidationHook
from .missed_validation_hook import MissedValidationHook
from .momentum_update_hook import MomentumUpdateHook
from .mpcl_reweight_hook import MPCLReweightHook
from .non_finite_hook import NonFiniteHook
from .online_probe_hook import OnlineProbeHook
from .pixel_baseline_hook import PixelBaselineHook
from .preemption_hook import PreemptionHook, StoppedRun
from .progress_hook import ProgressHook
from .regularizer_hook import RegularizerHook
from .representation_monitor_hook import CollapseError, RepresentationMonitorHook
from .reproducibility_hook import ReproducibilityHook
from .smog_reset_hook import SMoGResetHook
from .strict_pretrained_hook import StrictPretrainedHook
from .view_retrieval_hook import ViewRetrievalHook

__all__ = [
    'AtomicCheckpointHook',
    'BrokenImageHook',
    'CollapseError',
    'ContinuousLoaderHook',
    'DeferredRuntimeInfoHook',
    'FrozenBackboneHook',
    'InitialValidationHook',
    'MPCLReweightHook',
    'MissedValidationHook',
    'STOPPED_STATUS',
    'MomentumUpdateHook',
    'NonFiniteHook',
    'OnlineProbeHook',
    'PixelBaselineHook',
    'PreemptionHook',
    'ProgressHook',
    'RegularizerHook',
    'RepresentationMonitorHook',
    'ReproducibilityHook',
    'SMoGResetHook',
    'StoppedRun',
    'StrictPretrainedHook',
    'ViewRetrievalHook',
]

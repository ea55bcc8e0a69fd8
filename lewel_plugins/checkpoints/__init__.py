"""Weights: read them safely, compare them, load them."""

from .compare import StateDifference, compare_states
from .configs import DEFAULT_SCOPE, backbone_config, config_of, model_config, normalization
from .loading import build_backbone, build_model, check_normalization, check_weights, load_backbone
from .older_version import check_settings, refuse_older
from .pretrained import Preprocess, load_pretrained
from .reading import local_file, read_pretrained, read_tensors
from .recognize import StartingWeights, read_starting_weights
from .released import list_pretrained
from .safetensors_format import encode_safetensors, read_safetensors
from .training_state import DamagedCheckpoint, UnusableCheckpoint, read_training_state
from .unpickling import confine_torch_load

__all__ = [
    'DEFAULT_SCOPE',
    'DamagedCheckpoint',
    'UnusableCheckpoint',
    'Preprocess',
    'StartingWeights',
    'StateDifference',
    'backbone_config',
    'build_backbone',
    'build_model',
    'check_normalization',
    'check_settings',
    'check_weights',
    'compare_states',
    'config_of',
    'confine_torch_load',
    'encode_safetensors',
    'list_pretrained',
    'load_backbone',
    'load_pretrained',
    'local_file',
    'model_config',
    'normalization',
    'read_pretrained',
    'read_safetensors',
    'read_starting_weights',
    'read_tensors',
    'read_training_state',
    'refuse_older',
]

"""Registries with the scope ``lewel_plugins``, children of mmengine's registries.

Configs write types with the scope as prefix (``lewel_plugins.LEWELB``). Such types build under any runner whose default
scope is ``mmpretrain``. mmengine swallows every error raised while it imports this file, so this file imports nothing
but mmengine.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope='lewel_plugins', locations=[f'lewel_plugins.{location}'])


MODELS = _child('model', MMENGINE_MODELS, 'models')
HOOKS = _child('hook', MMENGINE_HOOKS, 'hooks')
DATASETS = _child('dataset', MMENGINE_DATASETS, 'datasets')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'transforms')
OPTIMIZERS = _child('optimizer', MMENGINE_OPTIMIZERS, 'optim')
OPTIM_WRAPPER_CONSTRUCTORS = _child('optim wrapper constructor', MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, 'optim')
METRICS = _child('metric', MMENGINE_METRICS, 'evaluation')
LOOPS = _child('loop', MMENGINE_LOOPS, 'evaluation')

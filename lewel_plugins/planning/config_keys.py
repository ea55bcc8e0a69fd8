"""Settings of a user, checked against the config that they change before anything is built from it."""

import contextlib
import copy
import inspect
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine import registry
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import LogProcessor, Runner, set_random_seed
from torch.utils.data import DataLoader

from lewel_plugins.errors import SetupError

_REGISTRIES = (
    registry.MODELS,
    registry.DATASETS,
    registry.DATA_SAMPLERS,
    registry.TRANSFORMS,
    registry.HOOKS,
    registry.LOOPS,
    registry.METRICS,
    registry.OPTIMIZERS,
    registry.OPTIM_WRAPPERS,
    registry.OPTIM_WRAPPER_CONSTRUCTORS,
    registry.PARAM_SCHEDULERS,
    registry.LOG_PROCESSORS,
    registry.VISUALIZERS,
    registry.VISBACKENDS,
)
_SCOPES = ('lewel_plugins', 'mmengine', 'mmpretrain', 'mmdet', 'mmseg')
_SELF = {'self', 'args', 'kwargs', 'cfg', 'runner'}
# What mmengine and this package read beside the parameters of the Runner.
_TOP = {'activation_checkpointing', 'compile', 'efficient_conv_bn_eval', 'find_unused_parameters', 'model_wrapper_cfg'}
_TOP |= {'custom_imports', 'sync_bn', 'trust_checkpoints', 'vis_backends'}
_LOADER = {'dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn', 'num_batch_per_epoch'}
# What is read of the parts of a config beside the parameters of a class.
_PARTS = {
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'optim_wrapper': {'optimizer', 'constructor', 'paramwise_cfg'},
}
_SHOWN = 20  # names in a message
# Settings that follow from an option, and others with them.
OPTIONS = {
    'train_dataloader.batch_size': '--batch-size',
    'train_dataloader.sampler.step': '--batch-size',
    'train_dataloader.num_workers': '--workers',
    'train_cfg.max_epochs': '--epochs',
    'randomness.seed': '--seed',
    'work_dir': '--out',
    'load_from': '--from',
    'launcher': '--gpus',
}


def merge_settings(config: Config, settings: Mapping[str, Any], options: Mapping[str, str] = OPTIONS) -> None:
    """Merge settings into a config, as ``Config.merge_from_dict`` does, if the config has a place for each.

    A new key has one where the class that is built from its part of the config, or the Runner, takes it.

    Args:
        config: The config, which is changed.
        settings: Values by key, as in ``optim_wrapper.optimizer.lr``.
        options: Options by the setting that follows from them.

    Raises:
        SetupError: A setting is unknown, or its value is of another kind. Names the nearest setting.
    """
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmpretrain')):
        for key, value in settings.items():
            if key in options:
                raise SetupError(f'--set {key}: other settings follow from it as well; use {options[key]}')
            _check(config, key, value, settings)
    try:
        config.merge_from_dict(copy.deepcopy(dict(settings)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SetupError(f'--set {" ".join(settings)}: these settings contradict each other: {error}') from None


def _check(config: Config, key: str, value: Any, settings: Mapping[str, Any]) -> None:
    parts, node = key.split('.'), config._cfg_dict
    for depth, part in enumerate(parts):
        place = '.'.join(parts[:depth])
        if isinstance(node, dict):
            if part not in node:
                _check_new(config, key, place, part, node, settings)
                _check_number(key, None, value)
                return
            node = node[part]
        elif isinstance(node, (list, tuple)):
            if not part.isdecimal() or int(part) >= len(node):
                raise SetupError(f'unknown setting {key}; {place} has {len(node)} parts, numbered from 0')
            node = node[int(part)]
        elif node is not None:
            raise SetupError(f'unknown setting {key}; {place} is {node!r}')
    _check_value(key, node, value)


def _check_new(
    config: Config, key: str, place: str, part: str, node: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Refuse a new key unless what is built from this part of the config takes it."""
    names = _accepted(place, node, settings)
    if part and (names is None or part in names):
        return
    if place.endswith('default_hooks') and f'{place}.{part}.type' in settings:
        return
    known = sorted({*node, *(names or ())} - {'type', '_scope_'})
    raise SetupError(f'unknown setting {key}; {_hint(config, key, place, known)}')


def _hint(config: Config, key: str, place: str, known: Sequence[str]) -> str:
    """Return the nearest setting to an unknown one, or what its part of the config has."""
    start = f'{place}.' if place else ''
    name, *rest = key.removeprefix(start).split('.')
    every = list(_flat(config._cfg_dict))
    similar = get_close_matches(name, known, n=1)
    if similar and (not rest or '.'.join([start + similar[0], *rest]) in every):
        return f'did you mean {".".join([start + similar[0], *rest])}?'
    leaf = key.rpartition('.')[2]
    near = get_close_matches(key, [other for other in every if not place or other.endswith(f'.{leaf}')], n=1)
    if near:
        return f'did you mean {near[0]}?'
    more = ' and others' if len(known) > _SHOWN else ''
    return f'{place or "the config"} has {", ".join(known[:_SHOWN])}{more}'


def _accepted(place: str, node: Mapping[str, Any], settings: Mapping[str, Any]) -> set[str] | None:
    """Return the keys that are taken in a part of a config; None if any may be."""
    name = place.rpartition('.')[2]
    if not place:
        return (_parameters(Runner) or set()) | _TOP
    if name.endswith('dataloader'):
        return (_parameters(DataLoader) or set()) | _LOADER
    if name == 'randomness':
        return _parameters(set_random_seed)
    if name == 'log_processor':
        return _parameters(LogProcessor)
    if name == 'default_hooks':
        return set()
    kind = settings.get(f'{place}.type', node.get('type'))
    if kind is None:
        return _PARTS.get(name)
    parameters = _parameters(find_type(kind))
    if parameters is None:
        return None
    more = {'type', '_scope_', *_PARTS.get(name, ())}
    if 'hooks' in place:
        more.add('priority')
    if place.startswith('param_scheduler'):
        more.add('convert_to_iter_based')
    return parameters | more


def find_type(name: Any) -> Any:
    """Return the class or function that a config names; None if it is in no registry of the default scope."""
    if not isinstance(name, str):
        return name
    for root in _REGISTRIES:
        # The registry imports the libraries' modules, some of which print.
        with contextlib.redirect_stdout(io.StringIO()), root.switch_scope_and_registry(None) as scoped:
            match = scoped.get(name)
        if match is not None:
            return match
    return None


def _parameters(function: Any) -> set[str] | None:
    """Return the names of the arguments of a function, or of a class and those that it inherits from; None if any."""
    if not callable(function):
        return None
    if not inspect.isclass(function):
        return _names(function)[0]
    names: set[str] = set()
    is_open = False
    for cls in function.__mro__[:-1]:
        if '__init__' not in vars(cls):
            continue
        new, is_open = _names(vars(cls)['__init__'])
        names |= new
        if not is_open:
            break
    return None if is_open else names


def _names(function: Any) -> tuple[set[str], bool]:
    """Return the names of the arguments of a function, and whether it takes others as well."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return set(), True
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return set(parameters) - _SELF, is_open


def _flat(node: Any, place: str = '') -> Iterator[str]:
    """Yield the keys of all parts of a config."""
    if isinstance(node, dict):
        children = list(node.items())
    elif isinstance(node, (list, tuple)) and any(isinstance(each, dict) for each in node):
        children = list(enumerate(node))
    else:
        return
    for name, child in children:
        yield f'{place}{name}'
        yield from _flat(child, f'{place}{name}.')


def _check_value(key: str, old: Any, value: Any) -> None:
    """Refuse a value of another kind than that which it replaces."""
    is_group = isinstance(old, dict) or (isinstance(old, (list, tuple)) and any(isinstance(x, dict) for x in old))
    if is_group and value is not None and value != []:
        first = f'{key}.{next(iter(old), "type") if isinstance(old, dict) else 0}'
        raise SetupError(f'--set {key}: it is a group of settings, got {value!r}; name one of them, such as {first}')
    if isinstance(old, bool) and not isinstance(value, bool) and value is not None:
        raise SetupError(f'--set {key}: it is True or False, got {value!r}')
    if key.endswith('.type') and isinstance(value, str):
        scope, dot, _ = value.partition('.')
        if (not dot or scope in _SCOPES) and find_type(value) is None:
            raise SetupError(f'--set {key}: there is no {value!r}')
    _check_number(key, old, value)


def _check_number(key: str, old: Any, value: Any) -> None:
    is_number = isinstance(old, (int, float)) and not isinstance(old, bool)
    if isinstance(value, float) and (math.isnan(value) or (is_number and math.isinf(value))):
        raise SetupError(f'--set {key}: it takes a finite number, got {value!r}')
    if is_number and isinstance(value, (bool, str)):
        raise SetupError(f'--set {key}: it takes a number, got {value!r}')

"""The config that a checkpoint holds, read as data."""

import ast
import copy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from lewel_plugins.errors import SetupError

DEFAULT_SCOPE = 'mmpretrain'

# Packages whose registries a checkpoint's config may name; mmengine imports the package of a scope.
_SCOPES = ('mmengine', 'mmpretrain', 'mmdet', 'mmseg', 'lewel_plugins')

# mmdet takes these from mmcv.ops, not from a registry.
_OPS = ('RoIAlign', 'RoIPool', 'nms', 'soft_nms')


def config_of(checkpoint: dict[str, Any], path: str | Path, *builds: str) -> Config:
    """The config that mmengine keeps in a checkpoint: read as data, not run, and importing nothing that it names.

    Args:
        checkpoint: The checkpoint.
        path: Its file, for the messages.
        builds: Entries that the caller builds besides the model, such as ``val_dataloader``.

    Raises:
        SetupError: There is none; it holds anything but plain values; or what is built from it has a type that no
            registry knows.
    """
    cfg = _read_config(checkpoint, path)
    scope = cfg.get('default_scope') or DEFAULT_SCOPE
    _check_scope(scope, path)
    for name in ('model', 'data_preprocessor', *builds):
        _check_types(cfg.get(name), scope, path)
    return cfg


def _read_config(checkpoint: dict[str, Any], path: str | Path) -> Config:
    """What ``Config.fromstring`` makes of the text that mmengine writes, without running it."""
    text = checkpoint.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise SetupError(f'{path} holds no config in its meta: give the config file')
    values = {}
    try:
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                raise ValueError(f'line {statement.lineno} assigns no value')
            values[statement.targets[0].id] = _value(statement.value)
        return Config(values)
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise SetupError(f'{path} holds a config that is more than plain values, and is not run: {error}') from None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {ast.literal_eval(key): _value(value) for key, value in zip(node.keys, node.values) if key}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if any(word.arg is None for word in node.keywords):
            raise ValueError(f'line {node.lineno} unpacks a value')
        return dict(*map(_value, node.args), **{str(word.arg): _value(word.value) for word in node.keywords})
    return ast.literal_eval(node)  # a constant, a negative number, a set; ValueError for anything else


def _check_scope(scope: Any, path: str | Path) -> None:
    if scope not in _SCOPES:
        raise SetupError(f'the config in {path} names the scope {scope!r}; known are {", ".join(_SCOPES)}')


def _check_types(tree: Any, scope: str, path: str | Path) -> None:
    """Raise SetupError if a type is in no registry: mmengine would take it for a path, import it and call it."""
    if isinstance(tree, dict):
        scope = tree.get('_scope_', scope)
        _check_scope(scope, path)
        name = tree.get('type')
        if isinstance(name, str) and name not in _OPS and not _is_registered(name, scope):
            raise SetupError(
                f'the config in {path} has the type {name!r}, which is in no registry. Modules that a checkpoint names '
                'are not imported; the custom_imports of a config file are, where the tool takes one'
            )
        if tree.get('trust_remote_code'):  # of mmpretrain's wrappers of Hugging Face
            raise SetupError(f'the config in {path} asks for trust_remote_code, and is not built')
        tree = list(tree.values())
    for item in tree if isinstance(tree, (list, tuple)) else ():
        _check_types(item, scope, path)


def _is_registered(name: str, default_scope: str) -> bool:
    module, _, key = name.rpartition('.')
    scope = module.split('.')[0] or default_scope  # mmengine's new configs name a class by its module
    scopes = (scope,) if module else (scope, 'mmengine')
    known = _registries('mmengine')
    known += [child for root in known for child in root.children.values()]
    if scope in _SCOPES and find_spec(scope):
        known += _registries(scope)
    known = [registry for registry in known if registry.scope in scopes]
    if any(key in registry.module_dict for registry in known):
        return True
    for registry in known:
        registry.import_from_location()
    return any(key in registry.module_dict for registry in known)


def _registries(scope: str) -> list[Registry]:
    return [value for value in vars(import_module(f'{scope}.registry')).values() if isinstance(value, Registry)]


def model_config(cfg: Config) -> dict[str, Any]:
    """A copy of a config's model, with the data preprocessor that the Runner gives it where that stands beside it."""
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    return model


def normalization(checkpoint: dict[str, Any]) -> dict[str, list[float]] | None:
    """``mean`` and ``std`` of the images that a network was trained on, a value a channel, in the network's order.

    Taken from the config in a training's checkpoint, or from the ``meta`` of an exported backbone; None if neither
    tells.
    """
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        return None
    found = meta.get('data_preprocessor')
    if isinstance(meta.get('cfg'), str):
        cfg = _read_config(checkpoint, 'the checkpoint')  # nothing is built from it: types may be unknown
        found = model_config(cfg).get('data_preprocessor') if 'model' in cfg else None
    if not found or not found.get('mean') or not found.get('std'):
        return None
    return {name: [float(value) for value in found[name]] for name in ('mean', 'std')}


def backbone_config(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Config of the backbone in a checkpoint of a training or in an export of ``tools/export_backbone.py``.

    Raises:
        SetupError: The checkpoint tells none; or has a type that no registry knows.
    """
    exported = checkpoint.get('meta', {}).get('backbone')
    if isinstance(exported, dict):
        found = copy.deepcopy(exported)
    else:
        model = _read_config(checkpoint, path).get('model') or {}
        if 'backbone' not in model:
            raise SetupError(f'the config in {path} is of a model without a backbone: {model.get("type")}')
        found = copy.deepcopy(dict(model['backbone']))
    _check_types(found, DEFAULT_SCOPE, path)
    found.pop('init_cfg', None)  # what it was initialised from is overwritten
    _drop_pretrained(found)
    return found


def _drop_pretrained(tree: Any) -> None:
    """Take out what makes mmengine read further files, which the checkpoint names; all tensors are overwritten."""
    if isinstance(tree, dict):
        init = tree.get('init_cfg')
        inits = init if isinstance(init, (list, tuple)) else [init]
        if any(isinstance(each, dict) and each.get('type') == 'Pretrained' for each in inits):
            tree['init_cfg'] = None
        tree = list(tree.values())
    for item in tree if isinstance(tree, (list, tuple)) else ():
        _drop_pretrained(item)

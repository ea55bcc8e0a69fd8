"""Read checkpoints without running code from them, and rebuild their models."""

import ast
import copy
import logging
import os
import pickle
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS, Registry, init_default_scope
from mmengine.runner.checkpoint import get_torchvision_models
from torch import Tensor, nn

from .runner_setup import SetupError

_ALLOWED = {
    ('collections', 'OrderedDict'),
    ('torch', 'Size'),
    ('torch._utils', '_rebuild_parameter'),
    ('torch._utils', '_rebuild_tensor'),
    ('torch._utils', '_rebuild_tensor_v2'),
}


class _Inert:
    """Stands for an object of a class that is not allowed: takes everything, does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> '_Inert':
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, value: object) -> None:
        pass

    def extend(self, values: object) -> None:
        pass


class _TensorUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return super().find_class(module, name)
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if module in ('torch', 'torch.storage') and name.endswith('Storage'):
            return super().find_class(module, name)
        return _Inert


# What torch.load asks of a pickle module.
_TENSORS_ONLY = SimpleNamespace(
    __name__='tensors_only',
    Unpickler=_TensorUnpickler,
    load=lambda file, **options: _TensorUnpickler(file, **options).load(),
)


DEFAULT_SCOPE = 'mmpretrain'
# Packages whose registries a checkpoint's config may name; mmengine imports the package of a scope.
_SCOPES = ('mmengine', 'mmpretrain', 'mmdet', 'mmseg', 'lewel_plugins')

# mmdet takes these from mmcv.ops, not from a registry.
_OPS = ('RoIAlign', 'RoIPool', 'nms', 'soft_nms')


def read_tensors(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU: tensors, numbers, text and their containers.

    mmengine's checkpoints hold objects besides tensors (logged values, NumPy scalars), so that
    ``torch.load(weights_only=True)`` refuses them. Here such an object becomes an inert placeholder instead: no code
    named in the file is run. The config in ``meta`` is text, for :func:`config_of`; mmengine's ``Config`` would run it.

    Raises:
        SetupError: The file is missing, or is no checkpoint with a ``state_dict``.
    """
    checkpoint = _unpickle(path)
    if not isinstance(checkpoint.get('state_dict'), dict):
        raise SetupError(f'{path} is no checkpoint of a training: it has no state_dict')
    return checkpoint


def _unpickle(path: str | Path) -> dict[str, Any]:
    if not Path(path).is_file():
        raise SetupError(f'checkpoint {str(path)!r} does not exist')
    try:
        checkpoint = torch.load(str(path), map_location='cpu', pickle_module=_TENSORS_ONLY, weights_only=False)
    except Exception as error:  # zipfile, pickle and torch each have their own errors for a damaged file
        raise SetupError(f'{path} cannot be read, it is damaged or no checkpoint: {error}') from error
    return checkpoint if isinstance(checkpoint, dict) else {}


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


def build_model(cfg: Config, checkpoint: dict[str, Any], path: str | Path) -> BaseModel:
    """The config's model with a checkpoint's weights, on the CPU, in eval mode.

    Raises:
        SetupError: The weights do not fit.
    """
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    model = MODELS.build(model_config(cfg))
    try:
        model.load_state_dict(checkpoint['state_dict'])
    except RuntimeError as error:
        raise SetupError(f"{path} does not fit the config's model: {' '.join(str(error).split())[:500]}") from None
    model.eval()  # whose overrides in OpenMMLab do not all return the model
    return model


def local_file(path: str) -> Path:
    """Where a checkpoint is on this machine; what is named by address is downloaded first, into torch.hub's cache.

    Args:
        path: A file, or ``https://…``, ``http://…`` or ``torchvision://NAME``.

    Raises:
        SetupError: There is no such file, or no such address.
    """
    if path.startswith('torchvision://'):
        urls = get_torchvision_models()
        name = path.removeprefix('torchvision://')
        if name not in urls:
            raise SetupError(f'torchvision has no weights {name!r}')
        path = urls[name]
    if '://' not in path:
        if not Path(path).is_file():
            raise SetupError(f'checkpoint {path!r} does not exist')
        return Path(path)
    if not path.startswith(('http://', 'https://')):
        raise SetupError(f'{path} is not read: download it, and give the file')
    file = Path(torch.hub.get_dir(), 'checkpoints', os.path.basename(urlparse(path).path))  # as mmengine has it
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(path, str(file), progress=False)
        except OSError as error:
            raise SetupError(f'{path} cannot be downloaded: {error}') from None
    return file


def read_pretrained(path: str, prefix: str | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What ``init_cfg=dict(type='Pretrained', checkpoint=path, prefix=prefix)`` loads, without running code from it.

    Args:
        path: A file or an address, see :func:`local_file`.
        prefix: Of the names of the tensors, with or without the dot at the end.

    Returns:
        The checkpoint, and its tensors under the prefix by their names without it.

    Raises:
        SetupError: The file is missing or no checkpoint, or has no tensor under the prefix.
    """
    checkpoint = _unpickle(local_file(path))
    state = checkpoint.get('state_dict', checkpoint)
    if prefix:
        prefix = prefix.rstrip('.') + '.'
        state = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    if not state:
        raise SetupError(f'{path} has no tensor whose name starts with {prefix!r}')
    return checkpoint, state


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


def load_backbone(backbone: nn.Module, path: str | Path, prefix: str = 'backbone.') -> int:
    """Load all tensors of a backbone, parameters and buffers, from a checkpoint; nothing else of the file is used.

    Args:
        backbone: Any OpenMMLab backbone.
        path: A checkpoint of a pretraining, or an export.
        prefix: What the names of the backbone's tensors start with in the file.

    Returns:
        The number of tensors loaded: all that the backbone has.

    Raises:
        SetupError: A tensor is missing or has another shape, or the file has further tensors of a backbone. All are
            listed; then nothing has been loaded.
    """
    own = backbone.state_dict()
    _, found = read_pretrained(str(path), prefix)
    problems = {
        'missing in the checkpoint': [name for name in own if name not in found],
        'of another shape': [
            f'{name} {tuple(found[name].shape)}, not {tuple(own[name].shape)}'
            for name in own
            if name in found and found[name].shape != own[name].shape
        ],
        'that the backbone lacks': [name for name in found if name not in own],
    }
    said = [f'\n  {len(names)} {what}: {", ".join(names)}' for what, names in problems.items() if names]
    if said:
        raise SetupError(
            f'{path} does not hold a {type(backbone).__name__} of {len(own)} tensors under {prefix!r}:{"".join(said)}'
        )
    backbone.load_state_dict(found)
    return len(own)


def build_backbone(settings: dict[str, Any], path: str | Path) -> Any:
    """The backbone of a config, with random weights.

    Args:
        settings: The config, as :func:`backbone_config` gives it.
        path: Where it comes from, for the message.

    Raises:
        SetupError: They describe no backbone that is known here.
    """
    try:
        return MODELS.build(copy.deepcopy(settings))
    except Exception as error:  # of the registry for an unknown type, of the network for its arguments
        raise SetupError(f'the backbone of {path} cannot be built: {" ".join(str(error).split())[:500]}') from None


def check_normalization(checkpoint: dict[str, Any], path: str | Path, model: nn.Module) -> None:
    """Compare the means and standard deviations of a model's data preprocessor to those of a checkpoint's training.

    Where the checkpoint tells none, that is logged.

    Raises:
        SetupError: They differ.
    """
    expected = normalization(checkpoint)
    if expected is None:
        message = f"{path} does not tell how its images were normalised: the config's mean and std stay unchecked"
        print_log(message, logger='current', level=logging.WARNING)
        return
    preprocessor = getattr(model, 'data_preprocessor', None)
    for name, values in expected.items():
        found = getattr(preprocessor, name, None)
        own = None if found is None else found.flatten().tolist()
        if own is None or not torch.allclose(torch.tensor(own), torch.tensor(values), rtol=1e-4):
            raise SetupError(
                f"{path} was trained on images normalised with {name} {values}, the config's data_preprocessor has "
                f'{name} {own}; the order of the channels is part of it'
            )

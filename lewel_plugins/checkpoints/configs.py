"""The config that a checkpoint holds, read as data."""

import ast
import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lewel_plugins.errors import SetupError

from .registered_types import check_scope, check_types

DEFAULT_SCOPE = 'mmpretrain'
_DELIVER_RGB = ('CIFAR10', 'CIFAR100')  # data sets of mmpretrain; all others read files, as BGR


def config_of(checkpoint: dict[str, Any], path: str | Path, *builds: str) -> Config:
    """Return the config that mmengine keeps in a checkpoint. It is read as data: nothing in it is run or imported.

    Args:
        checkpoint: The checkpoint.
        path: Its file, for the errors.
        builds: Entries that the caller builds besides the model, such as ``val_dataloader``.

    Raises:
        SetupError: There is no config, it holds anything but plain values, or an entry to build has a type that is in
            no registry.
    """
    cfg = read_config(checkpoint, path)
    scope = cfg.get('default_scope') or DEFAULT_SCOPE
    check_scope(scope, path)
    for name in ('model', 'data_preprocessor', *builds):
        check_types(cfg.get(name), scope, path)
    return cfg


def read_config(checkpoint: dict[str, Any], path: str | Path) -> Config:
    """Parse the text that mmengine writes into the config that ``Config.fromstring`` returns, without running it."""
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
        raise SetupError(f'{path} holds a config with more than plain values, which is not run: {error}') from None


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


def model_config(cfg: Config) -> dict[str, Any]:
    """Return a copy of a config's model, with the data preprocessor that the Runner adds from beside the model."""
    model = copy.deepcopy(cfg.model)
    if cfg.get('data_preprocessor'):
        model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    return model


def normalization(checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """Return ``mean`` and ``std`` of the images that a network was trained on, one value per channel, in its order.

    They come from the config in the checkpoint of a training, or from the ``meta`` of an exported backbone; None if
    neither has them. ``to_rgb`` is also returned if it is known: whether images, which are read as BGR, were converted.

    Raises:
        SetupError: They are no numbers.
    """
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        return None
    preprocessor = meta.get('data_preprocessor')
    if isinstance(meta.get('cfg'), str):
        cfg = read_config(checkpoint, 'the checkpoint')  # nothing is built from it, so types may be unknown
        preprocessor = model_config(cfg).get('data_preprocessor') if 'model' in cfg else None
        if isinstance(preprocessor, dict):
            preprocessor = dict(preprocessor, to_rgb=converts_to_rgb(preprocessor, cfg))
    if not isinstance(preprocessor, dict) or not preprocessor.get('mean') or not preprocessor.get('std'):
        return None
    try:
        values: dict[str, Any] = {name: [float(value) for value in preprocessor[name]] for name in ('mean', 'std')}
    except (TypeError, ValueError):
        shown = ', '.join(f'{name}={str(preprocessor[name])[:80]!r}' for name in ('mean', 'std'))
        raise SetupError(f'the checkpoint records how images were normalized by {shown}: no numbers') from None
    if isinstance(preprocessor.get('to_rgb'), bool) and len(values['mean']) == 3:
        values['to_rgb'] = preprocessor['to_rgb']
    return values


def converts_to_rgb(preprocessor: dict[str, Any], cfg: dict[str, Any]) -> bool | None:
    """Return whether a training converts its images, which are read as BGR, to RGB.

    None if it does not, but its data set may deliver RGB.

    Args:
        preprocessor: The config of its data preprocessor.
        cfg: The config of the training.
    """
    names = [name for name in ('to_rgb', 'bgr_to_rgb') if preprocessor.get(name) is not None]
    if any(preprocessor[name] for name in names):
        return True
    if not names and str(preprocessor.get('type')).endswith('BatchViews'):  # the only one with another default
        return True
    dataset = cfg.get('train_dataloader')
    while isinstance(dataset, dict) and 'dataset' in dataset:  # in the loader, and in each wrapper
        dataset = dataset['dataset']
    name = str(dataset.get('type')) if isinstance(dataset, dict) else ''
    return None if name.removeprefix('mmpretrain.') in _DELIVER_RGB else False


def backbone_config(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Return the config of the backbone in the checkpoint of a training, or in an export of tools/export_backbone.py.

    Raises:
        SetupError: The checkpoint has none, or one with a type that is in no registry.
    """
    exported = checkpoint.get('meta', {}).get('backbone')
    if isinstance(exported, dict):
        backbone = copy.deepcopy(exported)
    else:
        model = read_config(checkpoint, path).get('model') or {}
        if 'backbone' not in model:
            raise SetupError(f'the config in {path} describes a model without a backbone: {model.get("type")}')
        backbone = copy.deepcopy(dict(model['backbone']))
    check_types(backbone, DEFAULT_SCOPE, path)
    backbone.pop('init_cfg', None)  # the checkpoint overwrites the initialization
    _drop_pretrained(backbone)
    return backbone


def _drop_pretrained(tree: Any) -> None:
    """Remove every ``init_cfg`` with a further file, which mmengine would read although all tensors are overwritten."""
    if isinstance(tree, dict):
        init = tree.get('init_cfg')
        inits = init if isinstance(init, (list, tuple)) else [init]
        if any(isinstance(each, dict) and each.get('type') == 'Pretrained' for each in inits):
            tree['init_cfg'] = None
        tree = list(tree.values())
    for item in tree if isinstance(tree, (list, tuple)) else ():
        _drop_pretrained(item)

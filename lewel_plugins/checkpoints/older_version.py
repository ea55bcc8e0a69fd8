"""The version before heads: names of tensors and settings in it, and their present names.

In that version, which ends with commit d72400e, predictors, groups and loss settings belonged to the algorithm. Now
they belong to its head.
"""

import shlex
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from lewel_plugins.errors import SetupError

from .configs import read_config

_MODULES = ('q', 's', 'predictor', 'balance', 'singular_value_loss', 'brownian_loss')
_GROUP_BUFFERS = dict(groups='rows', beta='beta', iteration='steps', members='members', recent='recent')

# For each algorithm: its head, and the arguments that moved there from the algorithm.
_HEADS: dict[str, tuple[str, tuple[str, ...]]] = dict(
    LEWELB=('LEWELPredictHead', ('hid_channels', 'beta')),
    LEWELM=('LEWELContrastHead', ('beta', 'temperature')),
    SMoG=('SMoGHead', ('hid_channels', 'num_groups', 'temperature', 'beta', 'end_beta', 'update')),
    MPCLMoCo=('MPCLContrastHead', ('temperature',)),
    MPCLMoCoV3=('MPCLPredictHead', ('predictor', 'temperature')),
    MPCLBarlowTwins=('MPCLBarlowTwinsHead', ('redundancy_weight',)),
    MSBReg=('MSBRegHead', ('hid_channels', 'lambda_s', 'lambda_b', 'exclude_self', 'normalize')),
    BYOLMultiCrop=('BYOLMultiCropHead', ('hid_channels',)),
)
_BALANCE = ('pcr_weight', 'squared_pcr', 'literal_eq4')
_RENAMED = dict(squared_pcr="pcr='squared_cosine'")
_MLP = ('num_layers', 'with_bn', 'with_last_bn', 'shared_hidden', 'init', 'dropout', 'orthogonal')


def present_name(name: str) -> str:
    """Return the present name of a tensor or module of an older model; a name that has not changed stays."""
    if name.partition('.')[0] in _MODULES:
        return f'head.{name}'
    return f'head.groups.{_GROUP_BUFFERS[name]}' if name in _GROUP_BUFFERS else name


def is_older(checkpoint: dict[str, Any]) -> bool:
    """Return whether a checkpoint was written by the version before heads.

    The config in the checkpoint decides. Without one the names of the tensors do, if there is a teacher or a balance
    of this package among them, because other packages have a ``predictor``, too.
    """
    try:
        return _is_older_model(read_config(checkpoint, 'the checkpoint').get('model'))
    except SetupError:  # there is no config, or one that only mmengine can read
        state = checkpoint.get('state_dict') or {}
        ours = 'teacher.updates' in state or 'balance.weights' in state
        return ours and any(present_name(name) != name for name in state)


def refuse_older(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Raise SetupError, with the command that converts it, if a checkpoint was written by the version before heads."""
    if is_older(checkpoint):
        raise SetupError(
            f'{path} was written by an older version of lewel_plugins: convert it with '
            f'`python -m lewel_plugins.checkpoints.convert {shlex.quote(str(path))} NEW.pth`'
        )


def present_config(cfg: Config) -> Config:
    """Return the config of an older run with its settings in their present places."""
    cfg = Config(cfg.to_dict())
    model = cfg.model
    name = _class_name(model)
    head_type, arguments = _HEADS[name]
    head = ConfigDict(type=f'lewel_plugins.{head_type}', **_pop(model, arguments))
    balance = _pop(model, _BALANCE)
    if name.startswith('MPCL'):  # the cosine was the only form of PCR
        squared = balance.pop('squared_pcr', False)
        head.balance = dict(balance, pcr='squared_cosine' if squared else 'cosine')
    if name == 'BYOLMultiCrop':  # small views were no targets
        head.targets = 'large'
    model.head = head
    if _class_name(model.neck) == 'MultiProjectorNeck':
        model.neck.mlp = dict(shared_hidden=False) | _pop(model.neck, _MLP)
    pretrained = model.pop('pretrained', None)
    if pretrained is not None and model.get('init_cfg') is None:  # as mmpretrain did with it
        model.init_cfg = dict(type='Pretrained', checkpoint=pretrained)
    for hook in [*(cfg.get('custom_hooks') or []), *(cfg.get('default_hooks') or {}).values()]:
        if hook and _class_name(hook) == 'RegularizerHook':
            hook.module = present_name(hook.module)
    return cfg


def check_settings(cfg: Config) -> None:
    """Raise SetupError if a config has settings where the version before heads had them, with their present places."""
    model = cfg.get('model') or {}
    name = _class_name(model)
    if model.get('type') != f'lewel_plugins.{name}' or name not in _HEADS:
        return
    neck, balance = model.get('neck') or {}, (model.get('head') or {}).get('balance') or {}
    moved = {f'model.{key}': f'model.head.{key}' for key in _HEADS[name][1] if key in model}
    moved |= {f'model.{key}': f'model.head.balance.{_RENAMED.get(key, key)}' for key in _BALANCE if key in model}
    moved |= {f'model.head.balance.{key}': f'model.head.balance.{_RENAMED[key]}' for key in _RENAMED if key in balance}
    if _class_name(neck) == 'MultiProjectorNeck':
        moved |= {f'model.neck.{key}': f'model.neck.mlp.{key}' for key in _MLP if key in neck}
    if moved:
        places = ', '.join(f'{before} is now {now}' for before, now in moved.items())
        raise SetupError(f'the config has settings of an older version of lewel_plugins: {places}')
    if 'head' not in model:
        raise SetupError(f"{name} needs a head: add model.head=dict(type='lewel_plugins.{_HEADS[name][0]}', ...)")


def _is_older_model(model: Any) -> bool:
    return isinstance(model, dict) and _class_name(model) in _HEADS and 'head' not in model


def _class_name(settings: dict) -> str:
    return str(settings.get('type')).rpartition('.')[2]


def _pop(settings: dict, names: tuple[str, ...]) -> dict[str, Any]:
    """Remove arguments from a config and return them."""
    return {name: settings.pop(name) for name in names if name in settings}

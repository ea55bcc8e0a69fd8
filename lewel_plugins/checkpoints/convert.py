"""Convert a checkpoint of the version before heads: ``python -m lewel_plugins.checkpoints.convert OLD.pth NEW.pth``."""

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from lewel_plugins.errors import SetupError
from lewel_plugins.files import replacing

from .configs import config_of, read_config
from .loading import build_model
from .older_version import is_older, present_config, present_name
from .training_state import read_training_state
from .unpickling import confine_torch_load

_BN_BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked')


def convert(checkpoint: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Return a checkpoint of the version before heads as the present version would have written it.

    Tensors, config and optimizer state are converted; everything else stays, so that a run resumes exactly.

    Args:
        checkpoint: The checkpoint, which is not changed.
        path: Its file, for the error.

    Raises:
        SetupError: The checkpoint was not written by that version.
    """
    if not is_older(checkpoint):
        raise SetupError(f'{path} was not written by the version before heads: there is nothing to convert')
    converted = dict(checkpoint, state_dict=_convert_state(checkpoint['state_dict']))
    if not isinstance(checkpoint.get('meta', {}).get('cfg'), str):
        return converted
    cfg = read_config(checkpoint, path)
    if 'optimizer' in checkpoint and _optimizes_all_parameters(cfg):
        converted['optimizer'] = _convert_optimizer(checkpoint['optimizer'], checkpoint['state_dict'])
    text = present_config(cfg).pretty_text
    converted['meta'] = dict(checkpoint['meta'], cfg=text)
    if 'message_hub' in checkpoint:  # mmengine keeps the config's text there, too
        information = checkpoint['message_hub']['runtime_info']
        information = OrderedDict(information, cfg=text) if 'cfg' in information else information
        converted['message_hub'] = dict(checkpoint['message_hub'], runtime_info=information)
    return converted


def _convert_state(state: dict[str, Any]) -> dict[str, Any]:
    converted = OrderedDict((present_name(name), value) for name, value in state.items())
    if 'balance.cosines' in state:  # the sums of an unfinished epoch have another beside the cosines
        converted['head.balance.hsic'] = torch.zeros_like(state['balance.cosines'])
    modules = getattr(state, '_metadata', {})  # torch's version numbers of modules
    converted._metadata = OrderedDict((present_name(name), value) for name, value in modules.items())  # type: ignore[attr-defined]
    return converted


def _optimizes_all_parameters(cfg: Config) -> bool:
    """Return whether the optimizer has frozen parameters, too: mmengine's default constructor without options has."""
    wrapper = cfg.get('optim_wrapper') or {}
    constructor = str(wrapper.get('constructor') or 'DefaultOptimWrapperConstructor')
    return constructor.endswith('DefaultOptimWrapperConstructor') and not wrapper.get('paramwise_cfg')


def _convert_optimizer(optimizer: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Renumber the parameters of an optimizer that also has those of the teacher.

    Their order was: online backbone and neck, teacher, head. Now the head comes before the teacher.
    """
    head = sum(present_name(name).startswith('head.') and _is_parameter(name) for name in state)
    total = sum(len(group['params']) for group in optimizer['param_groups'])
    teacher = (total - head) // 2 if 'teacher.updates' in state else 0  # a copy of backbone and neck

    def present(index: int) -> int:
        if index >= total - head:
            return index - teacher
        return index + head if index >= total - head - teacher else index

    return dict(optimizer, state={present(index): value for index, value in optimizer['state'].items()})


def _is_parameter(name: str) -> bool:
    """Return whether a tensor is a parameter that an older algorithm had outside its backbone and neck."""
    return name.partition('.')[0] in ('q', 's', 'predictor') and not name.endswith(_BN_BUFFERS)


def _check(converted: dict[str, Any], path: str) -> str:
    """Load a converted checkpoint into the model of its config, and return a sentence with the result.

    Raises:
        SetupError: The model cannot be built, or its tensors differ.
    """
    try:
        cfg = config_of(converted, path)
    except SetupError as error:  # no config, or types of the user's own
        return f'Not loaded as a check: {error}'
    build_model(cfg, converted, path)
    return f'Its {len(converted["state_dict"])} tensors are those of the model in its config.'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m lewel_plugins.checkpoints.convert',
        description='Convert a checkpoint of an older version of lewel_plugins, in which predictors, groups and loss '
        'settings belonged to the algorithm and not to its head. Runs resume exactly from the new file, with a config '
        'of the present version. To use only the backbone (linear evaluation, transfer, export), no conversion is '
        'needed.',
    )
    parser.add_argument('old', metavar='OLD.pth', help='checkpoint to convert; it stays as it is')
    parser.add_argument('new', metavar='NEW.pth', type=Path, help='file to write')
    parser.add_argument('--force', action='store_true', help='overwrite NEW.pth if it exists')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.new.exists() and not args.force:
        raise SetupError(f'{args.new} exists: choose another name, or add --force to overwrite it')
    converted = convert(read_training_state(args.old), args.old)
    result = _check(converted, args.old)
    with replacing(args.new) as partial:
        torch.save(converted, partial)
    print(f'{args.new} holds {args.old}, converted to the present version. {result}')


if __name__ == '__main__':
    confine_torch_load()
    try:
        main()
    except (SetupError, OSError) as error:  # such as a full disk
        raise SystemExit(f'error: {error}') from None

"""Arguments that the command lines of several tools share."""

import argparse
import os
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config, DictAction

from lewel_plugins.errors import SetupError

from .setting_text import split_setting
from .setup import LAUNCHERS


class ConfigOptions(DictAction):
    """Parse ``--cfg-options KEY=VALUE ...`` as mmengine does, but keep the spaces in values, which may be paths."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            options = parse_settings(values or (), str(option_string))
        except SetupError as error:
            parser.error(str(error))
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **options})


def parse_settings(pairs: Sequence[Any], option: str) -> dict[str, Any]:
    """Parse settings of a config, a dict for ``Config.merge_from_dict``.

    Args:
        pairs: Texts ``KEY=VALUE``.
        option: The option that they belong to, for the error.

    Raises:
        SetupError: A text has no ``=``, its value is a dict, or the brackets of a list do not match.
    """
    settings = {}
    for pair in pairs:
        key, value = split_setting(pair, option)
        is_list = ',' in value or value.startswith(('[', '('))
        parse = DictAction._parse_iterable if is_list else DictAction._parse_int_float_bool
        try:
            settings[key] = parse(value)
        except (AssertionError, IndexError, RecursionError):
            raise SetupError(f'{option} {key}: the brackets of {value!r} do not match') from None
    return settings


def merge_options(config: Config, options: Mapping[str, Any]) -> None:
    """Merge ``--cfg-options`` into a config.

    Args:
        config: The config, which is changed.
        options: Values by key, as in ``optim_wrapper.optimizer.lr``.

    Raises:
        SetupError: The config has no place for one of them; names it.
    """
    try:
        config.merge_from_dict(dict(options))
    except (AttributeError, KeyError, TypeError) as error:  # errors of mmengine, which name no key
        problems = filter(None, (_problem(config, key) for key in options))
        problem = next(problems, f'{" ".join(options)}: {" ".join(str(error).split())}')
        raise SetupError(f'--cfg-options {problem}') from None


def _problem(config: Config, key: str) -> str:
    """Return why a config has no place for a key; an empty text if it has one."""
    *parents, last = key.split('.')
    node: Any = config._cfg_dict
    for depth, part in enumerate((*parents, last)):
        place = '.'.join(parents[:depth])
        if isinstance(node, dict):
            if part not in node:
                return ''
            node = node[part]
        elif not isinstance(node, list):
            return f'{key}: {place} is {node!r}, which has no parts'
        elif not part.isdecimal() or int(part) >= len(node):
            return f'{key}: {place} has {len(node)} parts, numbered from 0'
        elif depth == len(parents):
            return f'{key}: a part of a list cannot be replaced alone; write the whole list {place}'
        else:
            node = node[int(part)]
    return ''


def add_config_options(parser: argparse.ArgumentParser, what: str = 'settings of the config to override') -> None:
    """Add ``--cfg-options``, a dict for ``Config.merge_from_dict``.

    Args:
        parser: The parser.
        what: What the options override, for the help.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        default={},
        metavar='KEY=VALUE',
        help=f'{what}; write a list as key="[a,b]" or key=a,b, without spaces',
    )


def add_auto_scale_lr(parser: argparse.ArgumentParser) -> None:
    """Add ``--auto-scale-lr``."""
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the ratio of the batch size to the config's base_batch_size",
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, and the local rank in both spellings that launchers use."""
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='launcher of the ranks (default: none)')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def set_local_rank(args: argparse.Namespace) -> None:
    """Set ``LOCAL_RANK``, which mmengine reads, to the local rank, unless the launcher has set it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

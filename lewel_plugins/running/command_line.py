"""Arguments that the command lines of several tools share."""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

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

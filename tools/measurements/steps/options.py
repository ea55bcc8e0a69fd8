"""Command-line options that several measurements share."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Setting(NamedTuple):
    """Shapes of a step."""

    depth: int
    size: int
    batch: int

    @classmethod
    def parse(cls, text: str) -> 'Setting':
        """Return the setting written as ``DEPTH:SIZE:BATCH``: ResNet depth, pixels, images."""
        try:
            return cls(*map(int, text.split(':')))
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(f'{text!r} is not DEPTH:SIZE:BATCH, such as 18:64:32') from None


SETTINGS = (Setting(18, 64, 32), Setting(50, 160, 16))


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--settings``."""
    parser.add_argument(
        '--settings',
        nargs='+',
        type=Setting.parse,
        default=SETTINGS,
        metavar='DEPTH:SIZE:BATCH',
        help='ResNet depth, pixels and images (default: 18:64:32 50:160:16)',
    )


def add_setting(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--setting``, a single one."""
    parser.add_argument(
        '--setting',
        type=Setting.parse,
        default=default,
        metavar='DEPTH:SIZE:BATCH',
        help=f'ResNet depth, pixels and images ({default})',
    )


def add_choices(parser: argparse.ArgumentParser, name: str, choices: Iterable[str], default: Iterable[str]) -> None:
    """Add an option for some of ``choices``."""
    choices, default = list(choices), list(default)
    shown = 'all' if default == choices else '; '.join(default)
    parser.add_argument(
        name, nargs='+', metavar='NAME', default=default, choices=choices, help=f'of {"; ".join(choices)} ({shown})'
    )


def add_timing(parser: argparse.ArgumentParser) -> None:
    """Add repeats, device, threads and output."""
    parser.add_argument('--repeats', type=int, default=5, help='alternations, after one warm-up (default: 5)')
    parser.add_argument(
        '--threads', type=int, help='threads of PyTorch; use 1 on a busy CPU, where idle threads are timed, too'
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add device and output."""
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--out', type=Path, help='json file to write, with a markdown table beside it')

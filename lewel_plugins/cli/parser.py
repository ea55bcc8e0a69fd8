"""Commands and options of ``lewel``. A test holds the list of options."""

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from lewel_plugins.errors import SetupError
from lewel_plugins.planning.findings import show
from lewel_plugins.version import __version__

COMMANDS = {
    'pretrain': 'train a backbone on a folder of images',
    'check': 'look at folder and machine: would a training work?',
    'report': 'write the report of a run, or compare several',
    'worth': 'measure whether pretraining pays on these images',
    'finetune': 'train a detector or segmenter on a pretrained backbone',
    'export': 'write the backbone for another library',
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest name."""

    def error(self, message: str) -> NoReturn:
        raise SetupError(message)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse arguments.

        Raises:
            SetupError: An argument is wrong; the message names it and what is accepted.
        """
        args, unknown = self.parse_known_args(argv)
        if unknown:
            self._refuse(unknown, args)
        return args

    def _refuse(self, unknown: Sequence[str], args: argparse.Namespace) -> NoReturn:
        option = next((word for word in unknown if word.startswith('-')), None)
        if option is None:
            raise SetupError(f'{unknown[0]!r} is not expected here; see lewel {args.command} --help')
        name = option.split('=')[0]
        if (getattr(args, 'command', None), name) == ('check', '--out'):
            raise SetupError('lewel check has no --out, because it writes nothing; leave it out')
        options = getattr(args, 'options', ['--help', '--version'])  # without a command
        near = get_close_matches(name, options, n=1, cutoff=0.5)
        hint = f'did you mean {near[0]}?' if near else f'the options are {", ".join(options)}'
        raise SetupError(f'unknown option {name}; {hint}')


def build_parser() -> Parser:
    """Return the parser of ``lewel``."""
    parser = Parser(prog='lewel', description='Self-supervised pretraining on a folder of images.')
    parser.add_argument('--version', action='version', version=f'lewel {__version__}')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', parser_class=Parser)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=_sentence(text), allow_abbrev=False)
        globals()[f'_add_{name}'](command)
        options = [option for action in command._actions for option in action.option_strings if option != '-h']
        command.set_defaults(options=options)
    return parser


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ('' if text.endswith('?') else '.')


def option_names(command: str) -> list[str]:
    """Return the names of a command's options."""
    return build_parser().parse_known_args([command, *_PLACEHOLDERS[command]])[0].options


_PLACEHOLDERS = {
    'pretrain': ['.', '--out', '.'],
    'check': ['.'],
    'report': ['.'],
    'worth': ['.', '--labels', '.', '--out', '.'],
    'finetune': ['detector', '.', '--data', '.', '--out', '.'],
    'export': ['.', '--to', 'timm'],
}


def _add_images(parser: Parser) -> None:
    parser.add_argument('images', nargs='+', metavar='IMAGES', help='folders, image files, or a .txt list of files')


def _add_training(parser: Parser) -> None:
    parser.add_argument('--method', default='lewel-m', metavar='NAME', help='method (default: lewel-m)')
    parser.add_argument(
        '--backbone', metavar='NAME', help='network, also timm:NAME, mmpretrain:NAME (default: by the number of images)'
    )
    parser.add_argument('--from', dest='weights', metavar='WEIGHTS', help='weights to start from: a file or a RUN')
    parser.add_argument('--epochs', type=_integer, metavar='N', help='length (default: by the number of images)')
    parser.add_argument('--hours', type=_number, metavar='H', help='length by time, instead of --epochs')
    parser.add_argument('--batch-size', type=_integer, metavar='N', help='images per step, on all GPUs together')
    parser.add_argument('--image-size', type=_integer, metavar='N', help='side of the views in pixels')
    parser.add_argument('--gpus', type=_gpus, metavar='N|all|0', help='GPUs; 0 for the CPU (default: all)')
    parser.add_argument('--workers', type=_integer, metavar='N', help='processes per GPU that load images')
    parser.add_argument('--labels', metavar='PATH', help='labels, for the monitors only')
    parser.add_argument('--holdout', type=_integer, metavar='N', help='images that are never trained on')
    parser.add_argument('--seed', type=_integer, default=0, metavar='N', help='seed of the run (default: 0)')
    _add_set(parser)


def _add_set(parser: Parser) -> None:
    parser.add_argument(
        '--set', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help='settings of the config'
    )


def _add_out(parser: Parser, text: str, metavar: str = 'RUN') -> None:
    parser.add_argument('--out', required=True, metavar=metavar, help=text)


def _add_pretrain(parser: Parser) -> None:
    _add_images(parser)
    _add_out(parser, 'folder of the run; the same command goes on with it')
    _add_training(parser)
    parser.add_argument('--dry-run', action='store_true', help='check only, as lewel check does')


def _add_check(parser: Parser) -> None:
    _add_images(parser)
    _add_training(parser)
    parser.add_argument('--seconds', type=_number, default=120, metavar='N', help='time to take (default: 120)')
    parser.add_argument('--json', metavar='FILE', help='file for the findings')


def _add_report(parser: Parser) -> None:
    parser.add_argument('runs', nargs='+', metavar='RUN', help='folder of a run; several are compared')
    default = 'RUN/report.html; for several runs comparison.html in the current folder'
    parser.add_argument('--out', metavar='FILE', help=f'file to write (default: {default})')
    parser.add_argument('--no-images', action='store_true', help='leave out all pictures of the folder')


def _add_worth(parser: Parser) -> None:
    _add_images(parser)
    parser.add_argument('--labels', required=True, metavar='PATH', help='class folders, csv, COCO json, VOC or masks')
    _add_out(parser, 'folder of the answer; the same command goes on with it', 'DIR')
    parser.add_argument('--from', dest='weights', metavar='WEIGHTS', help='weights to compare with and to start from')
    parser.add_argument('--pretrained', metavar='RUN', help='judge this network instead of training anew per seed')
    parser.add_argument('--fractions', nargs='+', type=_number, default=[0.01, 0.1, 1.0], metavar='SHARE')
    parser.add_argument('--seeds', type=_integer, default=5, metavar='N', help='number of seeds (default: 5)')
    parser.add_argument(
        '--margin', type=_number, default=1.0, metavar='POINTS', help='a gain that matters (default: 1)'
    )
    parser.add_argument('--group-by', metavar='folder|COLUMN', help='images that must not be split')
    parser.add_argument('--hours', type=_number, metavar='H', help='time to take at most')
    _add_set(parser)
    parser.add_argument('--dry-run', action='store_true', help='print the cost only')


def _add_finetune(parser: Parser) -> None:
    parser.add_argument('task', choices=('detector', 'segmenter'))
    parser.add_argument('start', metavar='RUN|WEIGHTS|random[:NAME]', help='backbone to start from')
    parser.add_argument('--data', required=True, metavar='PATH', help='COCO json, VOC folder, or images/ + masks/')
    _add_out(parser, 'folder of the fine-tuning', 'RUN2')
    parser.add_argument('--epochs', type=_integer, metavar='N')
    parser.add_argument('--gpus', type=_gpus, metavar='N|all|0')
    parser.add_argument('--seed', type=_integer, default=0, metavar='N')
    _add_set(parser)
    parser.add_argument('--dry-run', action='store_true')


def _add_export(parser: Parser) -> None:
    parser.add_argument('run', metavar='RUN', help='folder of a run, or a checkpoint')
    parser.add_argument(
        '--to',
        required=True,
        choices=('torchvision', 'timm', 'mmdet', 'detectron2', 'safetensors', 'onnx'),
        help='library',
    )
    parser.add_argument('--out', metavar='FILE', help='file to write')


def _integer(text: str) -> int:
    try:
        return int(text.replace(',', '').replace('_', ''))
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be a whole number, got {text!r}') from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be a number, got {text!r}') from None


def _gpus(text: str) -> int | None:
    try:
        return None if text == 'all' else _integer(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be a number or 'all', got {text!r}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``lewel`` and return its exit status: 0 done, 1 failed, 2 refused, 3 no, 75 stopped, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # a terminal without Unicode must not end a training
            stream.reconfigure(errors='replace', line_buffering=True)
    try:
        return _main(argv)
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of `lewel … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what the interpreter flushes at its end
        return 1


def _main(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help()
        return 0
    try:
        args = parser.parse(_suggest_command(argv))
        from .commands import run

        return run(args)
    except SetupError as error:
        print(f'error: {show(str(error))}', file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:  # as of a disk that is full, or of a folder that is gone
        print(f'error: {show(_describe(error))}', file=sys.stderr)
        return 1


def _describe(error: OSError) -> str:
    """Return the file of an error and its reason."""
    reason = str(error.strerror or error or type(error).__name__)
    names = (error.filename, error.filename2)
    files = [os.fsdecode(name) for name in names if isinstance(name, (str, bytes, os.PathLike))]
    return f'{" and ".join(files)}: {reason[:1].lower()}{reason[1:]}' if files else reason


def _suggest_command(argv: Sequence[str]) -> Sequence[str]:
    if argv[0].startswith('-') or argv[0] in COMMANDS:
        return argv
    near = get_close_matches(argv[0], COMMANDS, n=1, cutoff=0.5)
    hint = f'did you mean {near[0]}?' if near else f'the commands are {", ".join(COMMANDS)}'
    raise SetupError(f'unknown command {argv[0]!r}; {hint}')

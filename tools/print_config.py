"""Print a resolved config, with the file that sets each value.

python tools/print_config.py configs/lewel/lewel-b_resnet50_8xb128-lars-coslr-200e_in1k.py
python tools/print_config.py CONFIG --only model optim_wrapper.optimizer     # parts of it
python tools/print_config.py CONFIG --cfg-options train_cfg.max_epochs=10    # with options as for tools/train.py
python tools/print_config.py CONFIG --sources                                # the files it is made of

The output is a config without bases: it can be saved and trained from.
"""

import argparse

from lewel_plugins.running.command_line import add_config_options
from lewel_plugins.running.config_listing import list_config
from lewel_plugins.running.config_sources import ConfigSources
from lewel_plugins.running.entry_point import run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--only',
        nargs='+',
        default=[],
        metavar='KEY',
        help='print these values only; keys are dotted, such as model.neck',
    )
    parser.add_argument(
        '--sources', action='store_true', help='print the names of the files instead, in the order in which they apply'
    )
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    sources = ConfigSources(args.config, args.cfg_options)
    if args.sources:
        print('\n'.join(sources.files))
    else:
        print(list_config(sources, args.only), end='')


if __name__ == '__main__':
    run_main(main)
